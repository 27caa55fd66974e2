# `make help` lists the targets. Those that need packages set up .venv first.

# Given as PYTHON=/path/to/python, or the first of 3.11 to 3.13 that is found.
GIVEN := $(PYTHON)
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin
READY = .venv/ready

# The demos run in an environment that is given as PYTHON= or active, if it has the
# packages.
HAS_ALL = import sys; from importlib.util import find_spec; \
	sys.exit(not all(map(find_spec, ["av", "mmcv", "mmseg", "mmpretrain", "mmaction"])))
EXISTING := $(shell p='$(or $(GIVEN),$(firstword $(filter-out $(CURDIR)/.venv,$(VIRTUAL_ENV) $(CONDA_PREFIX))))'; \
	test -d "$$p" && p=$$p/bin/python; "$$p" -c '$(HAS_ALL)' 2>/dev/null && echo "$$p")
DEMO = PYTHONPATH=. $(or $(EXISTING),$(BIN)/python) tools/demo.py
DEMO_READY = $(if $(EXISTING),,$(READY))

.PHONY: help demo demo-cls demo-video demo-seg check test test-slow coverage test-det soak \
	fuzz matrix install-recipes evidence evidence-windows evidence-video docs lint clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

demo: $(DEMO_READY)  ## FCN and FCN + GloRe on a task that needs distant context, 2 minutes
	$(DEMO) long_range

demo-cls: $(DEMO_READY)  ## ResNet and ResNet + GloRe on generated photographs
	$(DEMO) cls

demo-video: $(DEMO_READY)  ## 3D ResNet and 3D ResNet + GloRe on generated clips
	$(DEMO) video

demo-seg: $(DEMO_READY)  ## FCN and FCN + GloRe on street scenes in the Cityscapes layout
	$(DEMO) seg

# Two processes of one thread each: faster than two threads on the many small networks.
# The one that is done first takes tests from the other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

check: $(READY)  ## lint and the fast tests of the plugin, 90 seconds
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q -m 'not slow' tests/test_architecture.py tests/test_unit.py tests/test_fused.py \
		tests/test_registry.py tests/compat/test_import_hook.py

test: $(READY)  ## the tests, 11 minutes
	$(PYTEST) -m 'not slow'

test-slow: $(READY)  ## the tests that take a minute or so each
	$(PYTEST) -m slow

coverage: $(READY)  ## all tests, and which lines of the package they run
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-fail-under=97

# mmdetection is not in .venv: where it is installed, mmsegmentation imports all of it.
DET = .venv/det
test-det: $(READY)  ## the tests with mmdetection
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps \
		--upgrade --target $(DET) mmdet shapely six terminaltables
	PYTHONPATH=$(DET) $(BIN)/python -m pytest tests/test_det.py

soak: $(READY)  ## trainings that are killed 50 times and resumed, 15 minutes
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak.py work_dirs/soak

N ?= 10
fuzz: $(READY)  ## bad input, N times as many cases as in the tests
	GLORE_FUZZ=$(N) $(PYTEST) tests/fuzz

# The cells that docs/compatibility/cells.json lacks, with the Pythons on the PATH.
matrix: $(READY)  ## Pythons, versions of torch and of OpenMMLab, an hour
	$(BIN)/python scripts/matrix.py docs/compatibility

install-recipes: $(READY)  ## each way to install it, for docs/compatibility.md, 15 minutes
	$(BIN)/python scripts/transcribe.py docs/install_recipes/*.sh

# With one thread, as docs/evidence.md was measured. Interrupted, they resume.
evidence: $(READY)  ## the long-range benchmark of docs/evidence.md, an hour
	$(BIN)/python -m glore_mm.synthetic.long_range_strips data/long_range_strips
	OMP_NUM_THREADS=1 $(BIN)/python tools/ablate.py configs/ablation/long_range.py --seeds 5

evidence-windows: $(READY)  ## strips of 6,400 pixels, tested in windows
	OMP_NUM_THREADS=1 $(BIN)/python scripts/long_strips.py docs/evidence/long_strips

evidence-video: $(READY)  ## the long-range benchmark in time
	$(BIN)/python -m glore_mm.synthetic.long_range_clips data/long_range_clips
	OMP_NUM_THREADS=1 $(BIN)/python tools/ablate.py configs/ablation/long_range_video.py --seeds 5

docs: $(READY)  ## docs/_build/html/index.html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

lint: $(READY)  ## ruff, mypy, known vulnerabilities
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py

clean:  ## remove .venv and what the demos wrote
	rm -rf .venv work_dirs docs/_build data/mini_cityscapes data/mini_imagenet data/mini_kinetics \
		data/long_range_strips data/long_range_clips data/long_strips

PACKAGES = --constraint constraints.txt --editable '.[all,dev]'
$(READY): setup.cfg pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11, 3.12 or 3.13 found;' \
		'install one, or give it: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo 'error: $(PYTHON) is not Python 3.11 to 3.13' >&2; exit 1; }
	@echo 'Setting up .venv with $(PYTHON): 2 minutes on a fast connection, 7 GB of disk.'
	@case "$$(command -v uv)" in \
	'' | $(CURDIR)/*) set -x; \
		$(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet --upgrade pip && \
		$(BIN)/python -m pip install $(PACKAGES);; \
	*) set -x; \
		uv venv --clear --seed --python $(PYTHON) .venv && \
		uv pip install --python $(BIN)/python $(PACKAGES);; \
	esac
	@$(BIN)/python -c 'import cv2' || { echo 'error: OpenCV lacks a system library;' \
		'on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0' >&2; exit 1; }
	touch $@
