# Every job of this project, one verb each. "make" alone prints the list.
# Needs on the machine: Linux x86-64, Python >= 3.11 with venv, git and make.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
KIT    := build/kit/kit.json
BQ     := $(VENV)/bigquery/.ready
LINT   := $(VENV)/lint/.ready
FUNCTION := build/functions/.ready
T      ?= tests

.DEFAULT_GOAL := help

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY) $(KIT) $(BQ) $(FUNCTION)  ## install everything into .venv, byte-compiled, and build the runner kit

$(READY): requirements/dev.txt
	@$(PYTHON) -c 'import sys, platform as p; ok = sys.version_info >= (3, 11) and p.system() == "Linux" and p.machine() == "x86_64"; ok or sys.exit("notebook-builder needs Python 3.11 or newer on Linux x86-64; PYTHON=%s is %s on %s %s" % (sys.executable, p.python_version(), p.system(), p.machine()))'
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { echo "notebook-builder needs Python's venv module (Debian, Ubuntu: apt-get install python3-venv)"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/dev.txt
	$(PY) -m compileall -q -j 0 $(VENV)/lib || true
	$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "notebook-builder.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
	@touch $@

$(KIT): $(READY) $(wildcard requirements/kit-*.txt) requirements/machine-image-scientific.txt $(wildcard builder/vm/* builder/vm/runner/* builder/vm/runner/pages/*) $(wildcard builder/kit/*.py)
	$(PY) -m builder.kit.build $(@D) own uv
	$(PY) -m localcloud.machine.images bare scientific

$(BQ): $(READY) requirements/bigquery.txt
	$(PYTHON) -m venv --clear --without-pip $(VENV)/bigquery
	$(PY) -m pip --python $(VENV)/bigquery/bin/python install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/bigquery.txt
	$(PY) -m compileall -q -j 0 $(VENV)/bigquery/lib || true
	@touch $@

$(FUNCTION): $(READY) $(wildcard function/requirements.txt) localcloud/functions/environments.py
	@mkdir -p $(@D)
	$(PY) -m localcloud.functions.environments function/requirements.txt
	@touch $@

$(LINT): $(READY) requirements/lint.txt
	$(PYTHON) -m venv --clear --without-pip $(VENV)/lint
	$(PY) -m pip --python $(VENV)/lint/bin/python install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/lint.txt
	@touch $@

demo: venv  ## a green commit goes live, a broken one does not, its fix does, and the schedule runs it
	$(PY) -m localcloud demo

test: venv  ## the tests (make test T=tests/unit/test_plan.py for some)
	$(PY) -m localcloud.machine.images bare scientific
	$(PY) -m pytest -n 2 --durations=15 $(T)

lint: venv $(LINT)  ## ruff, mypy --strict, shellcheck, hadolint, and the build files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/shellcheck builder/vm/*.sh docker/*.sh requirements/*.sh .ci/run
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml examples/*/cloudbuild.yaml
	$(VENV)/lint/bin/pipeline_check --quiet -p cloudbuild --cloudbuild-path cloudbuild.yaml --fail-on HIGH --ignore-file .pipeline-check-ignore.yml

image:  ## build the container image (needs Docker and git; BASE=IMAGE for another base)
	@BASE='$(BASE)' docker/build.sh

image-base:  ## a stand-in for the image's base, for tests where no registry can be reached (root, debootstrap)
	@docker/base.sh

image-test: venv  ## run the built image as steps of builds, against localcloud (root; after make image)
	$(PY) -m localcloud.machine.images bare scientific
	$(PY) -m pytest --durations=8 tests/image

image-submit: venv  ## submit this repo's own cloudbuild.yaml locally, with a registry on loopback (root; BASE as for make image)
	@BASE='$(BASE)' $(PY) -m pytest tests/image/own_build.py

image-bench: venv  ## measure how the built image starts, as JSON lines (root; after make image)
	$(PY) -m tests.image.bench

fmt: venv  ## format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: venv  ## measure, as JSON lines
	$(PY) -m tests.bench
	$(PY) -m tests.function.bench

docs: venv  ## write the option tables of README.md and docs/options.md anew
	$(PY) -m tests.write_docs

lock: venv  ## resolve pyproject.toml into requirements/*.txt
	requirements/lock.sh

clean:  ## remove what was built
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: help venv demo test lint image image-base image-test image-submit image-bench fmt bench docs lock clean
