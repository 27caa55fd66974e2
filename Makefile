# make demo · demo-cls · demo-video · check · test · test-slow · coverage · test-det · soak ·
# fuzz · matrix · install-recipes · evidence · evidence-video · docs · lint: each sets up .venv by itself.

# The first Python of 3.11 to 3.13 that is found; PYTHON=/path/to/python chooses another.
FITS = import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c '$(FITS)' 2>/dev/null && echo $$p && break; done)
BIN = .venv/bin
READY = .venv/ready

.PHONY: demo demo-cls demo-video check test test-slow coverage test-det soak fuzz matrix \
	install-recipes evidence evidence-video docs lint clean

demo: $(READY)
	$(BIN)/python tools/demo.py seg

demo-cls: $(READY)
	$(BIN)/python tools/demo.py cls

demo-video: $(READY)
	$(BIN)/python tools/demo.py video

# Two processes of one thread each: faster than two threads on the many small networks.
# The one that is done first takes tests from the other.
PYTEST = OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal

# Lint and the fast tests of the plugin, in a minute and a half.
check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q -m 'not slow' tests/test_architecture.py tests/test_unit.py tests/test_fused.py \
		tests/test_registry.py tests/compat/test_import_hook.py

test: $(READY)
	$(PYTEST) -m 'not slow'

# The demos as they are, and whatever else takes a minute or so by itself.
test-slow: $(READY)
	$(PYTEST) -m slow

# Which lines all of these tests run; at least 97 % of the package's.
coverage: $(READY)
	$(PYTEST) --cov --cov-report=term-missing:skip-covered --cov-fail-under=97

# In a detector, with mmdetection beside the other packages: where it is installed
# mmsegmentation imports all of it.
DET = .venv/det
test-det: $(READY)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps \
		--upgrade --target $(DET) mmdet pycocotools shapely six terminaltables
	PYTHONPATH=$(DET) $(BIN)/python -m pytest tests/test_det.py

# Trainings that are killed 50 times at random moments, and resumed; a quarter of an hour.
soak: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python scripts/soak.py work_dirs/soak

# Bad input, N times as many cases as the suite tries, others each time.
N ?= 10
fuzz: $(READY)
	GLORE_FUZZ=$(N) $(PYTEST) tests/fuzz

# Pythons, versions of torch and both stacks, an environment for each, those that
# docs/compatibility/cells.json lacks. Pythons are those on the PATH; an hour.
matrix: $(READY)
	$(BIN)/python scripts/matrix.py docs/compatibility

# What a new user sees of each way in, for docs/compatibility.md; a quarter of an hour.
install-recipes: $(READY)
	$(BIN)/python scripts/transcribe.py docs/install_recipes/*.sh

# The relational benchmark, and its form in time; interrupted, they go on where they stood.
# With one thread, as docs/evidence.md was measured.
evidence: $(READY)
	$(BIN)/python -m glore_mm.synthetic.long_range_strips data/long_range_strips
	OMP_NUM_THREADS=1 $(BIN)/python tools/ablate.py configs/ablation/long_range.py --seeds 5

evidence-video: $(READY)
	$(BIN)/python -m glore_mm.synthetic.long_range_clips data/long_range_clips
	OMP_NUM_THREADS=1 $(BIN)/python tools/ablate.py configs/ablation/long_range_video.py --seeds 5

# The pages of docs/ in docs/_build/html; a warning is an error.
docs: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python .ci/audit.py

clean:
	rm -rf .venv work_dirs docs/_build data/mini_cityscapes data/mini_imagenet data/mini_kinetics \
		data/long_range_strips data/long_range_clips

$(READY): setup.cfg pyproject.toml constraints.txt
	@test -n '$(PYTHON)' || { echo 'error: no Python 3.11, 3.12 or 3.13 found;' \
		'install one, or give it: make PYTHON=/path/to/python' >&2; exit 1; }
	@$(PYTHON) -c '$(FITS)' || { echo 'error: $(PYTHON) is not Python 3.11 to 3.13' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[all,dev]'
	@$(BIN)/python -c 'import cv2' || { echo 'error: OpenCV lacks a system library;' \
		'on Debian and Ubuntu: apt-get install libgl1 libglib2.0-0' >&2; exit 1; }
	touch $@
