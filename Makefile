# Every verb sets up .venv by itself, from requirements.lock.
PYTHON ?= python3
CORES ?= $(shell nproc 2>/dev/null || echo 2)
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test lint format lock weights extractors models report share pull parity bench clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(INSTALLED): requirements.lock
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python >= 3.11 is needed: make PYTHON=python3.11 …"; exit 1; }
	@echo "installing the locked environment into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  "$$(sed -n 's/^\(uv==[0-9.]*\).*/\1/p' requirements.lock)"
	@$(BIN)/uv pip sync --quiet --require-hashes --compile-bytecode requirements.lock
	@touch $@

install: $(INSTALLED) ## Install the locked environment into .venv

demo: $(INSTALLED) ## Run the quickstart experiment and print its report's path
	@$(BIN)/snakemake -j $(CORES) --quiet rules progress -- quickstart
	@echo "report: $(CURDIR)/reports/quickstart/latest/report.html"

test: $(INSTALLED) ## Run all tests, one worker a core
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(CORES) --dist loadfile

lint: $(INSTALLED) ## Check format, style and workflow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/snakefmt --check Snakefile experiments/rules
	@$(BIN)/snakemake --lint

format: $(INSTALLED) ## Format all code
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format . ; $(BIN)/snakefmt Snakefile experiments/rules

lock: $(INSTALLED) ## Compile requirements.lock and environment.yml from pyproject.toml
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
	  --generate-hashes --no-annotate --no-header --extra dev -o requirements.lock pyproject.toml
	@$(BIN)/python -m tests.environment > environment.yml

weights: $(INSTALLED) ## Fetch a backbone while online: make weights BACKBONE=sd15
	@$(BIN)/python -m methods.backbones.fetch $(BACKBONE)

extractors: $(INSTALLED) ## Fetch metrics' networks while online: make extractors EXTRACTORS="lpips-alex"
	@$(BIN)/python -m metrics.nets.fetch $(EXTRACTORS)

models: $(INSTALLED) ## Train the embedded models again (hours on 2 cores; resumes after a stop)
	@$(BIN)/snakemake -j $(CORES) embedded_models

report: $(INSTALLED) ## Render a report again: make report EXPERIMENT=quickstart
	@$(BIN)/python -m reports render $(or $(EXPERIMENT),quickstart)

share: $(INSTALLED) ## Push a finished experiment's results: make share EXPERIMENT=quickstart
	@$(BIN)/snakemake -j 1 --quiet all --config experiment=$(or $(EXPERIMENT),quickstart) -- share

pull: $(INSTALLED) ## Restore shared results: make pull, or make pull EXPERIMENT=quickstart
	@$(BIN)/python -m experiments pull $(EXPERIMENT)

parity: $(INSTALLED) ## Compare methods with recordings of the originals: make parity GOLDEN=<folder>
	@$(BIN)/python -m tests.parity $(GOLDEN)

bench: $(INSTALLED) ## Measure ratios to plain renderings of what was published
	@$(BIN)/python -m bench

clean: ## Remove what can be computed or pulled again, but not .venv
	@rm -rf build .snakemake
	@find results -mindepth 1 -maxdepth 1 ! -name shared ! -name packs -exec rm -rf {} + 2>/dev/null || true
