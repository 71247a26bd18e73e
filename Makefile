# Every target is enough on its own in a fresh clone: the virtual environment is its first dependency.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# Tests and workers start hundreds of interpreters: without byte code each would compile all sources again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: install quickstart docs test web-test test-slow fuzz torture check format bench claims
install: .venv/developing

.venv/playing: pyproject.toml constraints.txt
	@echo "Setting up .venv, once: PyTorch and what training needs (one to three minutes; pip prints nothing)"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) torch==2.13.0 $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX))
	$(PIP) -e .
	touch $@

.venv/developing: .venv/playing
	@echo "Adding all sources of games and the tools of development to .venv, once (one to three minutes)"
	$(PIP) -e '.[dev]'
	touch $@

.venv/documenting: .venv/playing
	@echo "Adding what builds the documentation to .venv, once (half a minute)"
	$(PIP) -e '.[docs]'
	touch $@

quickstart: .venv/playing
	@echo "Training three agents at connect four, then a round robin with four anchors (two to three minutes on two cores)"
	$(BIN)/marl population configs/population/quickstart.yaml --resume
	$(BIN)/marl tournament run configs/tournament/connect_four.yaml
	@echo "Training curves: $(BIN)/tensorboard --logdir runs/quickstart"

# A broken link, a missing anchor or a page out of the navigation fails the build.
docs: .venv/documenting
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The documentation: build/docs/index.html"

test: install
	@echo "The fast tests (about twenty minutes on two cores)"
	$(BIN)/python -m pytest -n 2 -m "not slow and not browser" -rs

# The page in a real browser: the system's Chromium, or the one that the variable CHROMIUM names. Without one they are skipped.
web-test: install
	@echo "The page in a browser (about two minutes on two cores)"
	$(BIN)/python -m pytest -m browser -rs

# What differs from run to run: property tests with twenty times the examples of `make test`, and hostile input to every command.
fuzz: install
	HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest -n 2 -m "hypothesis and not slow"
	$(BIN)/python -m tests.fuzz --cases 1000 --seed $$(date +%s)

test-slow: install
	@echo "The learning checks (more than an hour on two cores)"
	$(BIN)/python -m pytest -n 2 -m "slow and not browser"

check: install
	@echo "Format, lint, types, imports, claims (about a minute)"
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -m "not slow" tests/test_floors.py tests/claims/test_claims.py

format: install
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: install
	$(BIN)/python -m tests.benchmarks.speed
	$(BIN)/python -m tests.benchmarks.tournaments

# What the README and the results claim: the list, or with ONLY=NAME,NAME these claims measured again, beside what is claimed.
# MINUTES=N refuses what takes more CPU-minutes; RECORD=yes makes the new figures the claimed ones.
claims: install
	$(BIN)/python -m tests.claims $(if $(ONLY),run $(ONLY)) $(if $(MINUTES),--minutes $(MINUTES)) $(if $(RECORD),$(if $(filter yes,$(RECORD)),--record,$(error RECORD is yes or left out, got $(RECORD))))

# 207 random kills of everything that saves: ten to twenty minutes on two free cores.
torture: install
	$(BIN)/python -m tests.torture
