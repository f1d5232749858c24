# Two commands for a machine that has only Python 3.11+, git and make:
#   make repro   set up .venv, then run the default experiment from photos to report
#   make test    set up .venv, then run the tests
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
MXNET := .venv-mxnet
RUN := PATH="$(CURDIR)/$(BIN):$$PATH"

.PHONY: repro table test test-all lint format docs site notebook bench fuzz soak attacks screenshots mxnet clean help
.DEFAULT_GOAL := help

help:  ## say what there is
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/' | expand -t 14

repro: $(READY)  ## run the default experiment; finished stages come from the cache, and a verdict says whether the bytes are those of the commit
	$(RUN) dvc repro
	@$(RUN) facerec reproduced || true
	@echo "Done: open reports/index.html, or type: . $(BIN)/activate && dvc metrics show"

table: $(READY)  ## all experiments in one table: what was changed, and what became of accuracy and rank-1
	@$(RUN) facerec experiments

# One process more than there are cores, since tests often wait, up to four; they take test files in their order
# (tests/conftest.py). One torch thread in each: threads that wait for one another cost tenfold.
WORKERS = $$(($$(getconf _NPROCESSORS_ONLN) + 1))
PYTEST = OMP_NUM_THREADS=1 pytest --numprocesses $(WORKERS) --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test: $(READY)  ## run the tests
	$(RUN) $(PYTEST) -m "not slow"

test-all: test  ## run the slow tests too (real photos where FACEREC_MIRROR is set)
	$(RUN) $(PYTEST) -m slow

lint: $(READY)  ## check style and types
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy

format: $(READY)  ## rewrite the code in the house style
	$(RUN) ruff check --fix-only .
	$(RUN) ruff format .

docs: $(READY)  ## write the parts of the documentation and of dvc.yaml that are made from the code
	$(RUN) python -m tools.reference
	$(RUN) python -m tools.commands
	$(RUN) python -m tools.graph
	$(RUN) python -m tools.house
	$(RUN) python -m tools.trust
	$(RUN) python -m tools.speed

site: $(READY)  ## build the documentation as a site in site/; a broken link is an error
	$(RUN) NO_MKDOCS_2_WARNING=1 mkdocs build --strict
	@echo "Done: open site/index.html"

notebook: $(READY)  ## run docs/photos_to_roc.ipynb and write it with what its cells show
	$(RUN) python -m tools.notebook

bench: $(READY)  ## measure our code against others'; writes reports/bench.json and the table of docs/speed.md
	@$(RUN) python bench/run.py
	@$(RUN) python -m tools.speed

fuzz: $(READY)  ## feed 100,000 spoiled files to every reader; other ones: make fuzz FUZZ="--seed 1"
	$(RUN) python -m tests.fuzzing $(FUZZ)

soak: $(READY)  ## run the default experiment 20 times with a kill, a full disk or a spoiled part in each; fewer: make soak SOAK="--runs 4"
	$(RUN) python -m tests.soak $(SOAK)

attacks: $(READY)  ## run the tests that docs/trust.md names and write there how they ended
	$(RUN) python -m tools.trust --run

screenshots: $(READY)  ## take the pictures of the report for the README; needs Chromium
	$(RUN) python -m tests.screenshots

mxnet: $(MXNET)/.ready  ## compare records byte for byte with MXNet itself, in an environment of its own
	PYTHONPATH="$(CURDIR)" $(MXNET)/bin/python bench/mxnet_check.py
	PYTHONPATH="$(CURDIR)" $(MXNET)/bin/python bench/recordio.py

clean:  ## remove every output and scratch file; the DVC cache stays, so the next run is quick
	rm -rf data/raw data/detections data/faces data/embeddings data/scores data/megaface models
	rm -rf reports/figures reports/metrics reports/sheets/* reports/cards reports/index.html reports/provenance dvc_plots .facerec .pytest_cache .mypy_cache .ruff_cache

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("facerec needs Python 3.11 or newer: make PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	@echo "Setting up .venv: some 3 GB to download and 7.9 GB on the disk, most of it PyTorch with CUDA's libraries."
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --progress-bar on -c constraints.txt -e '.[dev]'
	@touch $@

$(MXNET)/.ready: bench/mxnet_requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit("MXNet 1.9.1 needs Python 3.11: make mxnet PYTHON=python3.11" if sys.version_info[:2] != (3, 11) else 0)'
	$(PYTHON) -m venv $(MXNET)
	$(MXNET)/bin/pip install --quiet --disable-pip-version-check -r bench/mxnet_requirements.txt
	@touch $@
