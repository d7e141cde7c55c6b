# `make` alone lists what there is.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
FACTS = settings.ini setup.py pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help music lab check test export style docs readme examples anew wheel-test listening-test fillings counts choosing wishes ends reread fuzz corpus-speed engine-speed trial clean

help: ## what there is
	@grep -E '^[a-z -]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed 's/:.*## /	/' | while IFS='	' read -r name what; do printf '  make %-16s%s\n' "$$name" "$$what"; done

music: $(VENV)/.music ## sets itself up and composes thirty seconds into out/
	$(BIN)/mt-compose --seconds 30 --seed 1 --out out

lab: $(VENV)/.dev ## reads the notebooks in JupyterLab
	$(BIN)/jupyter lab nbs

export: $(VENV)/.dev ## writes the modules from the notebooks
	$(BIN)/nbdev-export

style: $(VENV)/.dev ## ruff, fastai's style checker, the modules as exported
	rm -rf .tmp_export && cp -r music_transformer .tmp_export
	$(BIN)/nbdev-export
	diff -r -x __pycache__ .tmp_export music_transformer # the modules are what the notebooks export
	rm -rf .tmp_export
	$(BIN)/ruff check -q
	$(BIN)/chkstyle nbs

check: style ## before each commit: style and the fast tests, a minute
	$(BIN)/pytest -q -m 'not slow' tests/test_style.py tests/test_notebooks.py tests/test_data.py

test: export OMP_NUM_THREADS = 1
test: style ## everything; sets itself up first
	$(BIN)/nbdev-test --n-workers 2
	$(BIN)/pytest -q -rs -n 2 --dist loadfile --no-loadscope-reorder

docs: $(VENV)/.dev ## the site, in _docs
	$(BIN)/python docs/rooms.py
	$(BIN)/python docs/pages.py .tmp_site
	$(BIN)/sphinx-build -q -W --keep-going -c docs .tmp_site _docs

readme: $(VENV)/.dev ## README.md from nbs/index.ipynb, and the map of the rooms
	$(BIN)/python docs/rooms.py
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	sed -i.bak 's#(\.\./#(#g' README.md && rm README.md.bak

examples: $(VENV)/.dev ## the pieces in examples/, anew
	for s in 1 2 3; do \
	  $(BIN)/mt-compose --seconds 120 --seed $$s --out examples/two-minutes && \
	  $(BIN)/mt-compose --primer examples/prelude.mid --seconds 30 --seed $$s --out examples/prelude-continued || exit; \
	done
	$(BIN)/mt-compose --fill examples/prelude.mid --between 4 8 --out examples/given
	$(BIN)/mt-compose --accompany examples/given/melody.mid --pieces 2 --out examples/given
	$(BIN)/mt-compose --vary examples/prelude.mid --out examples/given
	$(BIN)/mt-compose --seconds 60 --loudness 40,20:80,40:40 --guidance 4 --out examples/wished
	$(BIN)/python docs/studio.py

PAGES = 02_model 04_generation 04b_drawing 05_playback 05a_studio 05b_engine 06_analysis 06a_originality 06b_judge 08_benchmark
STORE ?= store

anew: $(VENV)/.dev ## the packaged model was replaced: its numbers, pieces and pages, STORE=store: hours
	$(BIN)/mt-evaluate $(STORE) --json examples/run/test.json
	$(MAKE) -j2 counts fillings ends ARGS=$(STORE)
	$(MAKE) wishes examples
	$(BIN)/mt-compose --seconds 30 --seed 1 --out examples
	for o in $(PAGES); do MAESTRO_STORE=$(abspath $(STORE)) $(BIN)/nbdev-test nbs/$$o.ipynb --flags slow --save --n-workers 1 || exit; done
	for o in nbs examples/how_do_i.ipynb examples/report.ipynb; do $(BIN)/nbdev-test $$o --save --n-workers 1 || exit; done
	for o in nbs examples; do $(BIN)/nbdev-clean --fname $$o; done

wheel-test: ## builds wheel and sdist from a clean clone, installs them into an empty environment, composes there
	$(PYTHON) tests/wheel.py

listening-test: $(VENV)/.dev ## a page on which people rate pieces blindly, out/listening.html
	$(BIN)/python docs/listening.py $(ARGS)

fillings: $(VENV)/.dev ## how well gaps are filled, ARGS=STORE; and a page to hear ten of them blindly
	$(BIN)/python docs/fillings.py $(ARGS)

counts: ## what a listener notices in thirty pieces, ARGS=STORE
choosing: ## which way of drawing to choose, twenty pieces of each, ARGS=STORE
wishes: ## what comes of wishes, in hundreds of takes
ends: ## how pieces end that are told of it, ARGS=STORE
counts choosing wishes ends: $(VENV)/.dev
	$(BIN)/python docs/$@.py $(ARGS)

reread: ## all of MAESTRO against another reading of it
fuzz: ## the reader against 20,000 broken files
corpus-speed: ## how fast a corpus is prepared, beside other readers
engine-speed: ## how fast JavaScript composes in a browser
trial: ## what a setting is worth at equal computing time
reread fuzz corpus-speed engine-speed trial: $(VENV)/.dev
	$(BIN)/python tests/$(subst -,_,$@).py $(ARGS)

$(VENV)/.music: $(FACTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e .
	touch $@

$(VENV)/.dev: $(FACTS)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt -e '.[dev,docs]'
	touch $@ $(VENV)/.music

clean: ## removes what these commands made
	rm -rf $(VENV) out _proc _docs .tmp_site .tmp_export
