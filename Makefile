# make music: hear a piece.  make test: check everything.  make lab: read the notebooks.  make docs: the site, in _docs.  make readme: README.md from nbs/index.ipynb.  make examples: the pieces in examples, anew.
# make judge: all of MAESTRO against another reading of it.  make fuzz: the reader against 20,000 broken files.  make corpus-speed: how fast a corpus is prepared.  make trial: what a setting is worth at equal computing time.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FACTS = settings.ini setup.py pyproject.toml constraints.txt


.PHONY: music examples lab test docs readme judge fuzz corpus-speed trial clean

music: $(VENV)/.music
	$(BIN)/mt-compose --seconds 30 --seed 1 --out out

examples: $(VENV)/.dev
	for s in 1 2 3; do \
	  $(BIN)/mt-compose --seconds 120 --seed $$s --out examples/two-minutes && \
	  $(BIN)/mt-compose --primer examples/prelude.mid --seconds 30 --seed $$s --out examples/prelude-continued || exit; \
	done
	$(BIN)/python docs/studio.py

lab: $(VENV)/.dev
	$(BIN)/jupyter lab nbs

test: export OMP_NUM_THREADS = 1
test: $(VENV)/.dev
	rm -rf .tmp_export && cp -r music_transformer .tmp_export
	$(BIN)/nbdev-export
	diff -r -x __pycache__ .tmp_export music_transformer # the modules are what the notebooks export
	rm -rf .tmp_export
	$(BIN)/nbdev-test --n-workers 2
	$(BIN)/pytest -q -rs

docs: $(VENV)/.dev
	$(BIN)/python docs/pages.py .tmp_site
	$(BIN)/sphinx-build -q -W --keep-going -c docs .tmp_site _docs

readme: $(VENV)/.dev
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	sed -i.bak 's#(\.\./#(#g' README.md && rm README.md.bak

judge fuzz corpus-speed trial: $(VENV)/.dev
	$(BIN)/python tests/$(subst -,_,$@).py $(ARGS)

$(VENV)/.music: $(FACTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(FACTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,docs]'
	touch $@ $(VENV)/.music

clean:
	rm -rf $(VENV) out _proc _docs .tmp_site .tmp_export
