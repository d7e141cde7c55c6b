"The listening test as a listener meets it, in a real browser, from the first click to the saved file; and what the judge refuses."
import subprocess, sys
from pathlib import Path
import pytest
from music_transformer.data import Performance
from music_transformer.judge import auc, features, pieces_in, show_table, table
from music_transformer.listening import listening_results, listening_test
from music_transformer.midi import write_midi

tune = Performance([(i*.2, i*.2+.2, 60+5*i%13, 64) for i in range(10)], title='a tune')

@pytest.mark.parametrize('width', [390, 1400])
def test_a_listener_goes_through(tmp_path, browser, width):
    page_file = listening_test(dict(ours=[tune], theirs=[tune.transpose(2)]), tmp_path/'test.html')
    page = browser.new_page(viewport=dict(width=width, height=900))
    complaints = []
    page.on('pageerror', lambda e: complaints.append(str(e)))
    page.goto(page_file.as_uri())
    assert page.evaluate('document.documentElement.scrollWidth')<=width
    page.fill('#who', 'Anna')
    page.click('#go')
    for n in range(2):
        assert f'Piece {n+1} of 2' in page.text_content('#which') and page.is_disabled('#next')
        for q in ('coherency','structure','creativity','musicality'): page.check(f'input[name={q}][value="{4-n}"]')
        assert page.is_disabled('#next'), 'not heard yet'
        page.evaluate("document.getElementById('sound').dispatchEvent(new Event('ended'))")
        if n==0: page.click('#next')
    with page.expect_download() as saved: page.click('#next')
    answers = tmp_path/'listening-Anna.csv'
    saved.value.save_as(answers)
    assert saved.value.suggested_filename=='listening-Anna.csv' and not complaints
    found = listening_results(answers, key=tmp_path/'test-key.csv')
    assert sorted(o['mean'] for o in found['structure']['groups'].values())==[3, 4]

def test_answers_of_another_test_are_refused(tmp_path):
    listening_test(dict(a=[tune]), tmp_path/'t.html')
    (tmp_path/'x.csv').write_text('listener,piece,place,coherency,structure,creativity,musicality,heard\n1,p007,1,1,1,1,1,1\n')
    with pytest.raises(ValueError, match='another test'): listening_results(tmp_path/'x.csv', key=tmp_path/'t-key.csv')

def test_small_things_are_judged_or_refused(tmp_path):
    assert all(v!=v for v in features(Performance([])).values())
    assert all(v!=v for v in features(tune).values()), 'ten notes are no piece'
    with pytest.raises(ValueError, match='no pieces'): table(dict(ours=[]))
    with pytest.raises(TypeError, match='read_midi'): features('a.mid')
    long = Performance([(i*.2, i*.2+.2, 60+5*i%13, 64) for i in range(40)])
    assert show_table(table(dict(one=[long]))).count(' to ')==0, 'an interval of one piece'
    assert ' to ' not in show_table(dict(after=dict(one=[3., None, None], none=[None]*3))), 'as JSON keeps it'
    wide = show_table(dict(louder=dict(a=(-1e30, -2e30, -1e29), b=(1, 2, 3)))).splitlines()
    assert len({len(o) for o in wide})==1 and ' 1.00 (2.00 to 3.00)' in wide[1]
    with pytest.raises(ValueError, match='at least 10'): auc([tune]*3, [tune]*30)

def test_the_command_says_what_is_missing(tmp_path):
    write_midi(tune, tmp_path/'a.mid')
    def said(*words):
        r = subprocess.run([Path(sys.executable).parent/'mt-judge', *words], capture_output=True, text=True, cwd=tmp_path)
        assert r.returncode==2 and r.stderr.count('\n')==1
        return r.stderr
    assert '--real STORE' in said('.')
    assert 'not a token store' in said('.', '--real', 'nothing')

def test_what_cannot_be_read_is_left_out(tmp_path, capsys):
    write_midi(tune, tmp_path/'a.mid')
    (tmp_path/'b.mid').write_text('hello')
    (tmp_path/'c.mid').mkdir()
    assert len(pieces_in(tmp_path))==1
    said = capsys.readouterr().out
    assert 'b.mid is not a MIDI file' in said and 'c.mid is a folder' in said

def test_files_that_are_no_answers_are_named(tmp_path):
    listening_test(dict(a=[tune]), tmp_path/'t.html')
    head,row = 'listener,piece,place,coherency,structure,creativity,musicality,heard','1,p000,1,1,2,3,4,1'
    def said(text):
        (tmp_path/'x.csv').write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(ValueError) as e: listening_results(tmp_path/'x.csv', key=tmp_path/'t-key.csv')
        return str(e.value)
    for text in ('', head, head.replace(',', ';')+'\n'+row, head+'\n1,p000,1,1', b'\xff\xfe\0', head+'\n1,p000,1,1,,3,4,1'):
        assert 'x.csv is not a file of this test' in said(text)
    assert 'outside 1-5' in said(head+'\n1,p000,1,1,999,3,4,1')
    (tmp_path/'x.csv').write_text('\ufeff'+head+'\n'+row, encoding='utf-8')
    assert listening_results(tmp_path/'x.csv', key=tmp_path/'t-key.csv')['structure']['groups']['a']['mean']==2
    with pytest.raises(ValueError, match='two files are of the listener 1'): listening_results(*[tmp_path/'x.csv']*2, key=tmp_path/'t-key.csv')
    with pytest.raises(ValueError, match='no notes to listen to'): listening_test(dict(a=[Performance([])]), tmp_path/'s.html')

def test_pieces_all_alike_are_told_apart_by_chance():
    long = Performance([(i*.2, i*.2+.2, 60+5*i%13, 64) for i in range(40)])
    assert auc([long]*10, [long]*10)==.5
