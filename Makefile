# make course   execute every notebook (profile quick, no network); executed copies and HTML go to build/
# make test     every test
# make fuzz     10,000 damaged files for each reader of files from elsewhere
# make lab      open the notebooks in JupyterLab
# make lint     ruff
# make study    train and record the full-size study: hours on a CPU, less on a GPU; it can be stopped and goes on
# make check-recorded   compare recorded/ with its own histories and with the plan
# make results  write README's results table from recorded/
# make badges   copy the repository's address from pyproject.toml into the README and the notebooks
# Each sets up what it needs first, once.
PYTHON := .venv/bin/python
SETUP := .venv/share/jigsaw-course/setup
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))
BUILT := $(patsubst notebooks/%,build/%,$(NOTEBOOKS))

.PHONY: course test fuzz lab lint study check-recorded results badges clean
.DEFAULT_GOAL := course

$(SETUP): pyproject.toml colab_setup.sh $(wildcard packaging/caffe/*.*)
	bash colab_setup.sh

course: $(SETUP)
	rm -rf build
	JIGSAW_PROFILE=quick JIGSAW_RUNS="$(CURDIR)/build/runs" \
		$(PYTHON) -m nbconvert --execute --to notebook --output-dir build $(NOTEBOOKS)
	$(PYTHON) -m nbconvert --to html --CoalesceStreamsPreprocessor.enabled=True --output-dir build $(BUILT)
	$(PYTHON) scripts/notebook_errors.py $(BUILT)

test: $(SETUP)
	$(PYTHON) -m pytest $(ARGS)

fuzz: $(SETUP)
	JIGSAW_FUZZ=10000 $(PYTHON) -m pytest tests/test_fuzz.py $(ARGS)

lab: $(SETUP)
	$(PYTHON) -m jupyterlab notebooks

lint: $(SETUP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check helpers tests

study: $(SETUP)
	$(PYTHON) -m helpers.study $(ARGS)

check-recorded: $(SETUP)
	$(PYTHON) -m helpers.study --check
	$(PYTHON) scripts/results.py --check

results: $(SETUP)
	$(PYTHON) scripts/results.py

badges: $(SETUP)
	$(PYTHON) scripts/badges.py

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis
