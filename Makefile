# Every job of this project, one verb each. "make" alone prints the list.
# Needs on the machine: Linux x86-64, Python >= 3.11 with venv, git and make.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
KIT    := build/kit/kit.json
BQ     := $(VENV)/bigquery/.ready
LINT   := $(VENV)/lint/.ready
IMAGES := $(VENV)/machine-images/.ready
FUNCTION := build/functions/.ready
INSTALL := $(PY) -m localcloud.packages --require-hashes --no-deps --compile-bytecode --python
# With bytecode, whatever the user's environment says: tests start hundreds of processes.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 3 --dist=worksteal
# What `make test` runs: the longest tests first, so that both workers end at the same time.
T      ?= -m 'not needs and not exhaustive' tests/e2e tests/vm tests/deploy tests/function tests/contract tests/unit

.DEFAULT_GOAL := help

help:  ## print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

venv: $(READY)  ## install everything into .venv, byte-compiled, and build the runner kit
	@$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,--jobs=2) parts

parts: $(KIT) $(IMAGES) $(BQ) $(FUNCTION)
	@:

$(READY): requirements/dev.txt requirements/uv.txt
	@requirements/needs.sh '$(PYTHON)'
	'$(PYTHON)' -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --requirement requirements/uv.txt
	@$(INSTALL) $(PY) --requirement requirements/dev.txt
	@$(PY) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "notebook-builder.pth").write_text(str(pathlib.Path.cwd()) + "\n")'
	@touch $@

$(KIT): $(READY) $(wildcard requirements/kit-*.txt) $(wildcard builder/vm/* builder/vm/runner/* builder/vm/runner/pages/*) $(wildcard builder/kit/*.py)
	$(PY) -m builder.kit.build $(@D) own uv

$(IMAGES): $(READY) requirements/machine-image-scientific.txt localcloud/machine/images.py localcloud/machine/relocate.py
	$(PY) -m localcloud.machine.images bare scientific
	@touch $@

$(BQ): $(READY) requirements/bigquery.txt
	'$(PYTHON)' -m venv --clear --without-pip $(VENV)/bigquery
	@$(INSTALL) $(VENV)/bigquery/bin/python --requirement requirements/bigquery.txt
	@touch $@

$(FUNCTION): $(READY) $(wildcard function/requirements.txt) localcloud/functions/environments.py localcloud/packages.py
	@mkdir -p $(@D)
	$(PY) -m localcloud.functions.environments function/requirements.txt
	@touch $@

$(LINT): $(READY) requirements/lint.txt
	'$(PYTHON)' -m venv --clear --without-pip $(VENV)/lint
	@$(INSTALL) $(VENV)/lint/bin/python --requirement requirements/lint.txt
	@touch $@

demo: venv  ## a green commit goes live, a broken one does not, its fix does, and the schedule runs it
	$(PY) -m localcloud demo

unit: $(READY)  ## the tests that need only .venv: for the edit loop
	$(PYTEST) -m 'not needs and not exhaustive' tests/unit

test: venv  ## what a change of the product can break (make test T=tests/unit/test_plan.py for some); see tests/README.md
	$(PYTEST) --durations=10 $(T)

test-all: venv  ## every test: localcloud's own too, and those that need Docker, Chromium or user namespaces
	$(PYTEST) --durations=30 tests

lint: $(READY) $(LINT)  ## ruff, mypy --strict, shellcheck, hadolint, and the build files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/shellcheck builder/vm/*.sh docker/*.sh requirements/*.sh .ci/run
	$(VENV)/bin/hadolint Dockerfile
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml examples/*/cloudbuild.yaml
	$(VENV)/lint/bin/pipeline_check --quiet -p cloudbuild --cloudbuild-path cloudbuild.yaml --fail-on HIGH --ignore-file .pipeline-check-ignore.yml

clean-room:  ## README's commands on bare Debian 12 and 13 (root, debootstrap; ROOMS, EACH and OLDEST say what)
	@ROOMS='$(ROOMS)' EACH='$(EACH)' $(if $(filter undefined,$(origin OLDEST)),,OLDEST='$(OLDEST)') docker/clean-room.sh

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

fmt: $(READY)  ## format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: venv  ## measure, as JSON lines
	$(PY) -m tests.bench
	$(PY) -m tests.bench_scale
	$(PY) -m tests.function.bench

docs: $(READY)  ## write the option tables of README.md and docs/options.md anew
	$(PY) -m tests.write_docs

lock: $(READY)  ## resolve pyproject.toml into requirements/*.txt
	requirements/lock.sh

clean:  ## remove what was built
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.DELETE_ON_ERROR:
.PHONY: help venv parts demo unit test test-all lint clean-room image image-base image-test image-submit image-bench fmt bench docs lock clean
