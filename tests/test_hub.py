"A model goes to a hub and comes back, through the library that people use, by a hub of our own."
import json, shutil
from pathlib import Path
import pytest, torch
import huggingface_hub.constants as constants
from huggingface_hub import ModelCard
from hub import running
from music_transformer.model import MusicTransformer
from music_transformer.settings import ModelConfig

root = Path(__file__).parent.parent
token = 'hf_of_a_test'
scores = json.loads((root/'examples/run/test.json').read_text())

def small(seed=0):
    torch.manual_seed(seed)
    return MusicTransformer(ModelConfig(d_model=16, n_layers=1, n_heads=2, max_distance=32)).eval()

@pytest.fixture
def hub(monkeypatch, tmp_path):
    with running(token=token) as o:
        monkeypatch.setattr(constants, 'ENDPOINT', o.url)
        monkeypatch.setattr(constants, 'HUGGINGFACE_CO_URL_TEMPLATE', o.url+'/{repo_id}/resolve/{revision}/{filename}')
        monkeypatch.setattr(constants, 'HF_HUB_CACHE', str(tmp_path/'everyone'))
        monkeypatch.setattr(constants, 'HF_TOKEN_PATH', str(tmp_path/'no token'))
        for k in ('HF_TOKEN','HUGGING_FACE_HUB_TOKEN','HF_HUB_OFFLINE'): monkeypatch.delenv(k, raising=False)
        yield o

def load(name='me/piano', **kw): return MusicTransformer.from_pretrained(name, **kw)

def same(a, b): return all(torch.equal(x, y) for x,y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))

def test_up_and_down(hub, tmp_path):
    first,second = small(1),small(2)
    first.push_to_hub('me/piano', token=token, model_card_kwargs=dict(scores=scores))
    hub.tag('me/piano', 'v1')
    second.push_to_hub('me/piano', token=token)
    assert sorted(hub.files('me/piano'))==['README.md','config.json','model.safetensors','reference.json']
    for revision,is_ in ((None, second), ('main', second), ('v1', first), (hub.repos['me/piano']['refs']['v1'], first)):
        assert same(load(revision=revision, cache_dir=tmp_path/'mine', verify=True), is_), revision
    assert not (tmp_path/'everyone').exists() and (tmp_path/'mine/models--me--piano').is_dir()
    assert not any('README' in o for o in hub.asked if '/resolve/' in o), 'only the model is fetched'

def test_without_a_network_what_was_fetched_is_found(hub, tmp_path, monkeypatch):
    small().push_to_hub('me/piano', token=token)
    with pytest.raises(FileNotFoundError, match='no copy of it was fetched before'): load(local_files_only=True)
    load()
    n = len(hub.asked)
    assert same(load(local_files_only=True), small()) and len(hub.asked)==n
    monkeypatch.setattr(constants, 'ENDPOINT', 'http://127.0.0.1:9')                         # nobody answers there
    assert same(load(), small())
    with pytest.raises(FileNotFoundError, match='no copy of it was fetched before'): load('me/another')

def test_a_private_model_wants_its_token(hub):
    small().push_to_hub('me/piano', private=True, token=token)
    with pytest.raises(FileNotFoundError, match='if it is private, log in'): load()
    with pytest.raises(FileNotFoundError, match='if it is private, log in'): load(token='hf_a_wrong_one')
    assert same(load(token=token), small())

def test_what_is_not_there_is_one_sentence(hub):
    small().push_to_hub('me/piano', token=token)
    with pytest.raises(FileNotFoundError, match='^me/piano has no revision v9 on the hub.$'): load(revision='v9')
    with pytest.raises(FileNotFoundError, match='^me/violin is neither a folder here nor a model'): load('me/violin')
    for path in (None, root/'music_transformer/pretrained'):
        with pytest.raises(ValueError, match='a revision belongs to a model of the hub'): load(path, revision='v1')

def test_the_card(hub, tmp_path):
    "The hub's own look at a card finds nothing wrong; what `evaluate` said stands in its index."
    small().save_pretrained(tmp_path/'plain')
    card = ModelCard.load(tmp_path/'plain/README.md')
    assert (card.data.license, card.data.library_name, card.data.datasets)==('cc-by-nc-sa-4.0', 'music_transformer', ['maestro-v3.0.0'])
    assert not card.data.eval_results and 'No loss has been measured' in card.text
    card.validate()
    small().save_pretrained(tmp_path/'own', model_card_kwargs=dict(scores=scores, data='my-tunes', license='cc0-1.0'))
    card = ModelCard.load(tmp_path/'own/README.md')
    card.validate()
    assert card.data.license=='cc0-1.0' and 'MAESTRO' not in card.text.split('## Licence')[1]
    assert [(o.metric_name, o.dataset_name, o.metric_value) for o in card.data.eval_results][0]==('nats per token', 'my-tunes', round(scores['nats_per_token'], 4))
    for bad in ('# no head\n', '---\nlicense: mit\n---\n'):
        with pytest.raises(ValueError): ModelCard(bad).validate()

def test_the_packaged_card(hub):
    "Its head says what the test said; the licence lies beside the weights; a link leads to each source."
    folder = root/'music_transformer/pretrained'
    card = ModelCard.load(folder/'README.md')
    card.validate()
    net = MusicTransformer.from_pretrained()
    assert card.data.to_dict()==net.generate_model_card(scores).data.to_dict()
    assert f"{scores['nats_per_token']:.3f}" in card.text and f'{net.n_params:,}' in card.text
    assert (folder/'LICENSE').read_text(encoding='utf-8').startswith('Creative Commons Attribution-NonCommercial-ShareAlike 4.0')
    for link in ('github.com','creativecommons.org','arxiv.org','magenta.tensorflow.org'): assert f'https://{link}' in card.text, link

def test_a_copy_of_the_packaged_model_keeps_its_card(tmp_path):
    "`save_pretrained` overwrites no card that somebody wrote."
    shutil.copy(root/'music_transformer/pretrained/README.md', tmp_path)
    small().save_pretrained(tmp_path)
    assert 'The packaged model' in (tmp_path/'README.md').read_text()
