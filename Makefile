# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
MODEL := segcli/models/weights/tiny
PANOPTIC_MODEL := segcli/models/weights/tiny-panoptic
WORDS_MODEL := segcli/models/weights/tiny-words
DEMO := demo-out
PANOPTIC_DEMO := demo-out-panoptic
WORDS_DEMO := demo-out-words

.PHONY: demo test check format tiny-model tiny-report tiny-panoptic-model tiny-panoptic-report \
    tiny-words-model tiny-words-report clean

# Install, predict with the bundled model, score against the ground truth. The second time
# everything is there already.
demo: $(VENV)/ready
	@if [ $(DEMO)/manifest.json -ot $(MODEL)/model.safetensors ] || \
	    [ $(DEMO)/manifest.json -ot $(MODEL)/segcli.json ]; then rm -rf $(DEMO); fi
	$(BIN)/segcli predict examples/images -o $(DEMO) --overlay
	$(BIN)/segcli eval $(DEMO) examples/ground_truth
	@if [ $(PANOPTIC_DEMO)/manifest.json -ot $(PANOPTIC_MODEL)/model.safetensors ] || \
	    [ $(PANOPTIC_DEMO)/manifest.json -ot $(PANOPTIC_MODEL)/segcli.json ]; then \
	    rm -rf $(PANOPTIC_DEMO); fi
	$(BIN)/segcli predict examples/panoptic/images -o $(PANOPTIC_DEMO) --model tiny-panoptic --overlay
	$(BIN)/segcli eval $(PANOPTIC_DEMO) examples/panoptic/ground_truth
	$(BIN)/segcli eval $(PANOPTIC_DEMO) examples/panoptic/ground_truth --protocol semantic
	@if [ $(WORDS_DEMO)/manifest.json -ot $(WORDS_MODEL)/model.safetensors ]; then \
	    rm -rf $(WORDS_DEMO); fi
	$(BIN)/segcli predict examples/words/images -o $(WORDS_DEMO) --model tiny-words \
	    --text-file examples/words/words.txt --overlay
	$(BIN)/segcli eval $(WORDS_DEMO) examples/words/ground_truth --protocol semantic \
	    --ignore-index 255
	@echo "overlays: $(DEMO)/overlay   label maps: $(DEMO)/labels"
	@echo "things and stuff: $(PANOPTIC_DEMO)/overlay   COCO panoptic: $(PANOPTIC_DEMO)/panoptic.json"
	@echo "words: $(WORDS_DEMO)/overlay"

test: $(VENV)/ready-dev
	$(BIN)/python -m pytest -n auto --dist worksteal

check: $(VENV)/ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_docs.py

format: $(VENV)/ready-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Train the bundled model again; it takes hours and continues from its checkpoint.
tiny-model: $(VENV)/ready-train
	$(BIN)/python examples/train_tiny/train.py --out build/tiny --workers 2 --minutes 90
	$(BIN)/python examples/train_tiny/export.py build/tiny/checkpoint.pt --out build/tiny/model

# Measure the bundled model beside its controls.
tiny-report: $(VENV)/ready-train
	$(BIN)/python examples/train_tiny/report.py --model $(MODEL) --out build/tiny-report

# Train the bundled class-aware model again; it takes hours and continues from its checkpoint.
tiny-panoptic-model: $(VENV)/ready-train
	$(BIN)/python examples/train_panoptic/panoptic_train.py --out build/tiny-panoptic
	$(BIN)/python examples/train_panoptic/panoptic_export.py build/tiny-panoptic/checkpoint.pt \
	    --out build/tiny-panoptic/model

# Measure the bundled class-aware model beside its controls.
tiny-panoptic-report: $(VENV)/ready-train
	$(BIN)/python examples/train_panoptic/panoptic_report.py --model $(PANOPTIC_MODEL) \
	    --out build/tiny-panoptic-report

# Train the bundled model of words again; it takes about an hour and continues from its checkpoint.
tiny-words-model: $(VENV)/ready-train
	$(BIN)/python examples/train_words/words_train.py --out build/tiny-words
	$(BIN)/python examples/train_words/words_export.py build/tiny-words/checkpoint.pt \
	    --out build/tiny-words/model

# Measure the bundled model of words beside its controls.
tiny-words-report: $(VENV)/ready-train
	$(BIN)/python examples/train_words/words_report.py --model $(WORDS_MODEL) \
	    --out build/tiny-words-report.json

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/ready: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/ready-dev: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@ $(VENV)/ready

$(VENV)/ready-train: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train]"
	@touch $@

clean:
	rm -rf $(DEMO) $(PANOPTIC_DEMO) $(WORDS_DEMO) build .pytest_cache .mypy_cache .ruff_cache
