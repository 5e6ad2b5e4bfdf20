# demo   train two small models, evaluate them over memory sizes, write runs/demo/report.html
# test   the tests, without browser and servers
# bench-peers  training speed, ours and a peer's, which gets an environment of its own
# check  formatting, lint, types, imports, then the tests with coverage bounds
# Each target sets up .venv with pinned dependencies first.

PYTHON ?= python3
BIN := .venv/bin
# A worker imports torch for itself, so two of them with one thread each fill two cores.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

.PHONY: demo test check lint coverage bench-peers clean

demo: .venv/ok
	$(BIN)/mnemon demo

test: .venv/ok
	$(PYTEST) -q

check: lint coverage

lint: .venv/ok
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: .venv/ok
	$(PYTEST) -q --cov --cov-report=
	$(BIN)/coverage report --fail-under=90
	$(BIN)/coverage report --fail-under=95 --include='*/mnemon/ops/*,*/mnemon/index/*,*/mnemon/pools/*'

# The peer runs in an environment of its own, driven by ours.
bench-peers: .venv/ok .venv-peers/ok
	$(BIN)/mnemon bench train

.venv/ok: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@

# One peer asks for faiss-gpu and forgets einops-exts, so their requirements are given by name.
.venv-peers/ok: constraints.txt
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install -q -c constraints.txt torch numpy einops filelock packaging
	.venv-peers/bin/python -m pip install -q --no-deps \
		memorizing-transformers-pytorch==0.4.1 einops-exts==0.0.4 faiss-cpu==1.15.1 joblib==1.5.2 \
		x-transformers==2.31.10 einx==0.4.3 loguru==0.7.3 frozendict==2.5.1 torch-einops-utils==0.2.0
	touch $@

clean:
	rm -rf dist build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis .coverage htmlcov
