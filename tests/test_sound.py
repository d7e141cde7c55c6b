"Sound beyond the lesson: how much memory an evening takes, and what is said where something is missing."
import errno, io, os, signal, struct, subprocess, sys, warnings
from pathlib import Path
import pytest
from music_transformer import playback
from music_transformer.data import Performance
from music_transformer.data import COMPOSED, PRIMER
from music_transformer.files import all_or_none
from music_transformer.playback import compare, player, write_piece, write_roll
from music_transformer.sound import _small, mp3, read_piano, render, write_audio
from music_transformer.studio import studio

root = Path(__file__).parent.parent
nothing = Performance([], title='nothing')

def run(code, *args, **env):
    keep = {k:v for k,v in os.environ.items() if k not in ('DISPLAY','WAYLAND_DISPLAY','MPLBACKEND','PULSE_SERVER','SOUNDFONT')}
    r = subprocess.run([sys.executable, '-c', code, *map(str, args)], env=dict(keep, PYTHONPATH=str(root), OMP_NUM_THREADS='1', **env), capture_output=True, text=True)
    assert r.returncode==0, r.stderr[-2000:]
    return r.stdout

evening = """
import resource, sys
from music_transformer.data import Performance
from music_transformer import sound
from music_transformer.sound import write_audio
sound._twice = 200                               # seconds: half of an evening must do
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/(1 if sys.platform=='darwin' else 1000)/1000
minutes = float(sys.argv[2])
p = Performance([(t/4, t/4+.4, 40+t*7%40, 30+t%90) for t in range(int(minutes*60*4))])
write_audio(p[:5], sys.argv[1], sys.argv[3])     # the piano, the encoder and a first block are in memory now
before = peak()
write_audio(p, sys.argv[1], sys.argv[3])
print(peak()-before, __import__('time').process_time())
"""

@pytest.mark.skipif(sys.platform=='win32', reason='Windows does not tell the peak of a process this way')
def test_six_minutes_are_written_in_pieces(tmp_path):
    import numpy as np, soundfile
    grown = float(run(evening, tmp_path/'evening.mp3', 6, _small).split()[0])
    whole = 6*60*44100*2*4/1e6                                      # MB, were the sound one array: 127
    assert grown<whole/3, f'{grown:.0f} MB for sound of {whole:.0f} MB'
    info = soundfile.info(tmp_path/'evening.mp3')
    assert info.duration==pytest.approx(6*60+2.15, abs=.5)
    peak = max(np.abs(b).max() for b in soundfile.blocks(tmp_path/'evening.mp3', 1<<20, dtype='float32'))
    assert .8<peak<=1                                               # levelled by the peak of all blocks, and not clipped

def test_a_long_piece_is_as_loud_as_a_short_one(tmp_path, monkeypatch):
    "Played twice, not kept: the file is the same."
    import music_transformer.sound as sound, numpy as np, soundfile
    p = Performance([(t/2, t/2+.4, 40+t*7%40, 30+t*7%90) for t in range(40)])
    once = soundfile.read(write_audio(p, tmp_path/'a.wav', _small))[0]
    played,blocks = [],sound._blocks
    monkeypatch.setattr(sound, '_blocks', lambda *a: (played.append(1), blocks(*a))[1])
    assert render(p, _small).shape==once.shape and np.abs(render(p, _small)-once).max()<1e-4 and len(played)==2
    monkeypatch.setattr(sound, '_twice', 1)
    twice = soundfile.read(write_audio(p, tmp_path/'b.flac', _small))[0]
    assert len(played)==4 and np.abs(twice-once).max()<1e-4

def riff(*chunks):
    body = b'sfbk'+b''.join(k+struct.pack('<I', len(v))+v for k,v in chunks)
    return b'RIFF'+struct.pack('<I', len(body))+body

@pytest.mark.parametrize('content,says', [(b'', 'is not a soundfont'), (b'MThd'+bytes(100), 'is not a soundfont'), (riff(), 'damaged'),
    (riff((b'smpl', bytes(8))), 'damaged'), (_small.read_bytes()[:200_000], 'damaged')], ids=['empty','midi','bare','no plan','cut short'])
def test_a_soundfont_that_is_none(tmp_path, content, says):
    f = tmp_path/'font.sf2'; f.write_bytes(content)
    for act in (lambda: render(Performance([(0,1,60,64)]), f), lambda: write_audio(nothing, tmp_path/'a.mp3', f), lambda: player(Performance([(0,1,60,64)]), f)):
        with pytest.raises(ValueError, match=says): act()
    assert not (tmp_path/'a.mp3').exists()

def test_a_page_says_why_it_is_silent(tmp_path, monkeypatch):
    f = tmp_path/'font.sf2'; f.write_bytes(riff())
    monkeypatch.setenv('SOUNDFONT', str(f))
    h = Performance([(0,1,60,64)])._repr_html_()
    assert 'No sound: ' in h and 'damaged' in h and 'Piano roll, 1 notes' in h and '<audio' not in h

def test_no_notes(tmp_path):
    import numpy as np, soundfile
    assert render(nothing, _small).shape==(44100,2)
    for ext in ('wav','flac','ogg','mp3'):
        x,_ = soundfile.read(write_audio(nothing, tmp_path/f'a.{ext}', _small))
        assert len(x) and not np.abs(x).max()>1e-6
    assert mp3(nothing, _small, light=True)
    assert 'no notes' in player(nothing) and 'nothing' in player(nothing)
    assert write_roll(nothing, tmp_path/'a.png').stat().st_size>1000
    assert b'no notes' in write_roll(Performance([]), tmp_path/'a.svg').read_bytes()

def test_no_display_and_no_sound_card(tmp_path):
    "Nothing here needs them: sound goes to files and pages."
    code = '''
import sys; from pathlib import Path; from music_transformer.data import Performance; from music_transformer.playback import *
p = Performance([(0,1,60,64)]); d = Path(sys.argv[1])
print(write_audio(p, d/'a.mp3').stat().st_size>1000, write_roll(p, d/'a.png').stat().st_size>1000, '<audio' in player(p))'''
    assert run(code, tmp_path, SOUNDFONT=str(_small)).split()==['True']*3

def test_nothing_to_compare():
    with pytest.raises(ValueError, match='nothing to compare'): compare([])

def test_themes(tmp_path):
    s = studio(themes=tmp_path)
    assert 'no MIDI file' in s.said and s.themes==['nothing']
    for name in ('b.mid','A.MID'): (tmp_path/name).touch()
    (tmp_path/'notes.txt').touch()
    assert studio(themes=str(tmp_path)).themes==['nothing','A','b']
    assert studio(themes=[tmp_path/'b.mid']).themes==['nothing','b']
    with pytest.raises(FileNotFoundError, match='is not there'): studio(themes=tmp_path/'nowhere')

def light(colour):
    "L* of a colour: lightness as the eye has it, 0 black to 100 white."
    y = sum(w*(c/12.92 if c<=.04045 else ((c+.055)/1.055)**2.4) for w,c in zip((.2126,.7152,.0722), (int(colour[i:i+2],16)/255 for i in (1,3,5))))
    return 116*y**(1/3)-16

@pytest.mark.parametrize('colours', [COMPOSED, PRIMER])
def test_louder_is_lighter_and_neither_paper_nor_night(colours):
    L = [light(c) for c in colours]
    assert all(2<b-a<7 for a,b in zip(L, L[1:])) and 35<L[0] and L[-1]<80, L

class Full(io.BytesIO):
    "A disk with room for so many bytes more."
    def __init__(self, room): super().__init__(); self.room = room
    def write(self, data):
        if self.tell()+len(data)>self.room: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(data)
    def fileno(self): return 1

@pytest.mark.parametrize('ext', ['wav','flac','ogg','mp3'])
def test_a_full_disk_is_never_passed_over(tmp_path, monkeypatch, ext):
    "Whichever byte is the first that has no room, there is one error, which names the file; and what is there stays."
    import builtins
    p = Performance([(0,.2,60,64)])
    f = write_audio(p, tmp_path/f'a.{ext}', _small)
    old,real = f.read_bytes(),open
    for room in (0, 1000, len(old)//2, len(old)-1):
        monkeypatch.setattr(builtins, 'open', lambda path, mode='r', **kw: Full(room) if 'w' in mode else real(path, mode, **kw))
        with pytest.raises(OSError) as e: write_audio(p, f, _small)
        monkeypatch.undo()
        assert (e.value.errno,e.value.filename)==(errno.ENOSPC,str(f))
        assert f.read_bytes()==old and [*tmp_path.iterdir()]==[f]

@pytest.mark.skipif(os.name!='posix', reason='no alarm elsewhere')
@pytest.mark.parametrize('ext', ['wav','flac','ogg','mp3'])
def test_ctrl_c_is_not_lost_in_the_encoder(tmp_path, monkeypatch, ext):
    "Nearly all the time passes in the library here, so that is where the alarm comes."
    import numpy as np
    from music_transformer import sound
    noise = np.random.default_rng(0).normal(scale=.1, size=(60*44100,2)).astype('f4')
    def alarm(*_):
        signal.setitimer(signal.ITIMER_REAL, .02)
        yield noise
    monkeypatch.setattr(sound, '_levelled', alarm)
    monkeypatch.setattr(sound, '_the_piano', lambda *_: None)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt): write_audio(nothing, tmp_path/f'a.{ext}', _small)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not [*tmp_path.iterdir()]

def test_all_or_none(tmp_path):
    hands = [tmp_path/'new/left.txt', tmp_path/'new/right.txt']
    with pytest.raises(KeyError):
        with all_or_none(*hands) as (left,right): left.write_text('C'); raise KeyError
    assert not [*tmp_path.iterdir()]
    with all_or_none(*hands) as (left,right): left.write_text('C'); right.write_text('e')
    assert [o.read_text() for o in hands]==['C','e'] and len([*tmp_path.rglob('*')])==3
    with pytest.raises(FileNotFoundError) as e:
        with all_or_none(*hands): read_piano(tmp_path/'font.sf2')              # an error of another file keeps its name
    assert e.value.filename==str(tmp_path/'font.sf2')
    hands[1].unlink(); hands[1].mkdir()
    with pytest.raises(IsADirectoryError, match='right.txt is a folder'):
        with all_or_none(*hands): pytest.fail('began to write')

def test_a_piece_is_three_files_or_none(tmp_path, monkeypatch):
    p = Performance([(0,.2,60,64)], title='夜想曲')
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        files = write_piece(p, tmp_path/'a.b', _small)
    assert [o.name for o in files]==['a.b.mid','a.b.mp3','a.b.png'] and sorted(tmp_path.iterdir())==files
    before = [o.read_bytes() for o in files]
    monkeypatch.setattr(playback, 'write_roll', lambda *_: [][0])              # the last of the three
    with pytest.raises(IndexError): write_piece(p.transpose(1), tmp_path/'a.b', _small)
    assert [o.read_bytes() for o in files]==before and sorted(tmp_path.iterdir())==files
