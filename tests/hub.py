"A hub of models on this machine: what huggingface_hub asks of the real one when a model goes up and comes down, and no more."
import base64, hashlib, json, re, threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit
import yaml

class Hub(ThreadingHTTPServer):
    "Repositories in memory: `commits` of each are folders, `refs` say which is which."
    daemon_threads = True
    def __init__(self, token='hf_of_a_test'):
        super().__init__(('127.0.0.1', 0), Answer)
        self.token,self.repos,self.asked = token,{},[]
        self.url = f'http://127.0.0.1:{self.server_port}'

    def files(self, name, revision='main'):
        "The files at a branch, tag or commit; `None` if there is no such thing."
        repo = self.repos[name]
        return repo['commits'].get(repo['refs'].get(revision, revision))

    def commit(self, name, branch, files):
        "A new commit upon a branch; its id."
        repo = self.repos[name]
        oid = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        repo['commits'][oid] = (self.files(name, branch) or {})|files
        repo['refs'][branch] = oid
        return oid

    def tag(self, name, tag): self.repos[name]['refs'][tag] = self.repos[name]['refs']['main']

@contextmanager
def running(**kw):
    hub = Hub(**kw)
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    try: yield hub
    finally:
        hub.shutdown()
        hub.server_close()

class Answer(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def log_message(self, *a): self.server.asked.append(f'{self.command} {self.path}')

    def send(self, body, status=200, **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
            headers['Content-Type'] = 'application/json'
        self.send_response(status)
        for k,v in headers.items(): self.send_header(k.replace('_', '-'), v)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        if self.command!='HEAD': self.wfile.write(body)

    def refuse(self, status, code): self.send(dict(error=code), status, X_Error_Code=code, X_Error_Message=code)

    def known(self): return self.headers.get('Authorization')==f'Bearer {self.server.token}'

    def body(self):
        if 'chunked' in self.headers.get('Transfer-Encoding', ''): return self.chunks()
        return self.rfile.read(int(self.headers.get('Content-Length') or 0))

    def chunks(self):
        parts = []
        while n := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(n))
            self.rfile.readline()
        self.rfile.readline()
        return b''.join(parts)

    def do_POST(self):
        path,said = unquote(urlsplit(self.path).path),self.body()
        if path=='/api/validate-yaml':
            wrong = card_errors(json.loads(said)['content'])
            return self.send(dict(errors=wrong, warnings=[]), 400 if wrong else 200)
        if not self.known(): return self.refuse(401, 'RepoNotFound')
        if path=='/api/repos/create': return self.create(json.loads(said))
        name,what,branch = re.fullmatch(r'/api/models/([^/]+/[^/]+)/(preupload|commit)/(.+)', path).groups()
        if what=='preupload':
            every = [dict(path=o['path'], uploadMode='regular', shouldIgnore=False) for o in json.loads(said)['files']]
            return self.send(dict(files=every))
        lines = [json.loads(o) for o in said.splitlines()]
        files = {o['value']['path']: base64.b64decode(o['value']['content']) for o in lines if o['key']=='file'}
        oid = self.server.commit(name, branch, files)
        self.send(dict(commitUrl=f'{self.server.url}/{name}/commit/{oid}', commitOid=oid))

    def create(self, said):
        name = f"{said.get('organization') or 'me'}/{said['name']}"
        self.server.repos.setdefault(name, dict(private=said.get('private', said.get('visibility')=='private'), refs={}, commits={}))
        self.send(dict(url=f'{self.server.url}/{name}', id=name, name=name))

    def do_GET(self):
        path = unquote(urlsplit(self.path).path)
        info = re.fullmatch(r'/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?', path)
        file = re.fullmatch(r'/([^/]+/[^/]+)/resolve/([^/]+)/(.+)', path)
        name,revision = (info[1], info[3] or 'main') if info else (file[1], file[2])
        repo = self.server.repos.get(name)
        if repo is None or repo['private'] and not self.known(): return self.refuse(404 if self.known() else 401, 'RepoNotFound')
        files = self.server.files(name, revision)
        if files is None: return self.refuse(404, 'RevisionNotFound')
        oid = repo['refs'].get(revision, revision)
        if file: return self.file(files, file[3], oid)
        if info[2]=='tree': return self.send([dict(type='file', path=k, size=len(v), oid=sha1(v)) for k,v in files.items()])
        self.send(dict(id=name, sha=oid, siblings=[dict(rfilename=k) for k in files], private=repo['private'], tags=[], downloads=0, likes=0))
    do_HEAD = do_GET

    def file(self, files, path, oid):
        if path not in files: return self.refuse(404, 'EntryNotFound')
        self.send(files[path], ETag=f'"{sha1(files[path])}"', X_Repo_Commit=oid)

def sha1(b): return hashlib.sha1(b'blob %d\0'%len(b)+b).hexdigest()

def card_errors(text):
    "What is wrong with the head of a card, by the hub's specification of its metadata."
    found = re.match(r'---\n(.*?)\n---\n', text, re.S)
    head = yaml.safe_load(found[1]) if found else {}
    wrong = [f'"{k}" is required' for k in ('license','library_name','pipeline_tag','datasets','tags') if not head.get(k)]
    for model in head.get('model-index', []):
        for o in model['results']:
            if not (o['task'].get('type') and o['dataset'].get('type') and o['dataset'].get('name')): wrong.append('a result without task or dataset')
            if not all(m.get('type') and 'value' in m for m in o['metrics']): wrong.append('a metric without type or value')
    return [dict(message=o) for o in wrong]
