# The commands of this project. "make" alone prints the list.
# The machine needs Linux x86-64, Python >= 3.11 with venv, git, and make.

PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
READY  := $(VENV)/.ready
KIT    := build/kit/kit.json
KIT_313 := build/kit/cp313.tar.gz
BQ     := $(VENV)/bigquery/.ready
LINT   := $(VENV)/lint/.ready
SITE   := $(VENV)/site/.ready
IMAGES := $(VENV)/machine-images/.ready
FUNCTION := build/functions/.ready
INSTALL := $(PY) -m localcloud.engines.packages --require-hashes --no-deps --compile-bytecode --python
# Tests start hundreds of processes, so Python writes bytecode even if the user's environment forbids it.
PYTEST := env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 4 --dist=worksteal
# The tests of `make test`, the longest first, so that all workers end at the same time.
PRODUCT := tests/e2e tests/vm tests/deploy tests/function tests/integration tests/unit
# The day of the sample of exhaustive tests: three days in a row run all of them. NB_SAMPLE= runs all of them at once.
NB_SAMPLE ?= $(shell date -u +%F)
T      ?= -m 'not (needs or exhaustive or test_all or soak)' $(PRODUCT)

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

$(KIT): $(READY) $(wildcard requirements/kit-*.txt) builder/strict_json.py $(wildcard builder/kit/*.py $(foreach end,py sh css,builder/vm/*.$(end) builder/vm/*/*.$(end) builder/vm/*/*/*.$(end)))
	$(PY) -m builder.kit.build $(@D) own uv

# Debian 13 has Python 3.13. The index, written last, would be newer.
$(KIT_313): $(KIT)
	$(PY) -m builder.kit.build $(@D) own uv cp313
	@touch $@

$(IMAGES): $(READY) $(wildcard requirements/machine-image-*.txt) localcloud/engines/vm/images.py localcloud/engines/vm/relocate.py
	$(PY) -m localcloud.engines.vm.images
	@touch $@

$(BQ): $(READY) requirements/bigquery.txt
	'$(PYTHON)' -m venv --clear --without-pip $(VENV)/bigquery
	@$(INSTALL) $(VENV)/bigquery/bin/python --requirement requirements/bigquery.txt
	@touch $@

$(FUNCTION): $(READY) $(wildcard function/requirements.txt) localcloud/engines/function/environments.py localcloud/engines/packages.py
	@mkdir -p $(@D)
	$(PY) -m localcloud.engines.function.environments function/requirements.txt
	@touch $@

$(LINT): $(READY) requirements/lint.txt
	'$(PYTHON)' -m venv --clear --without-pip $(VENV)/lint
	@$(INSTALL) $(VENV)/lint/bin/python --requirement requirements/lint.txt
	@touch $@

$(SITE): $(READY) requirements/site.txt
	'$(PYTHON)' -m venv --clear --without-pip $(VENV)/site
	@$(INSTALL) $(VENV)/site/bin/python --requirement requirements/site.txt
	@touch $@

demo: venv  ## deploy a green commit, refuse a broken one, deploy its fix, and run the schedule
	$(PY) -m localcloud demo

report: venv  ## run the example's build on localcloud, which prints where its report is, and open it in a browser
	@rm -rf build/report
	@$(PY) -m localcloud submit --state build/report examples/bike-share; ended=$$?; \
	page=$$(find '$(CURDIR)/build/report/storage' -path '*/results/*' -name index.html | tail -n 1); \
	[ -n "$$page" ] || exit $$ended; \
	if command -v xdg-open >/dev/null; then xdg-open "$$page"; fi; \
	exit $$ended

unit: $(READY)  ## run the tests that need only .venv, while you edit
	$(PYTEST) -m 'not needs and not exhaustive and not soak' tests/unit

test: venv  ## run the tests of the product (T=tests/unit/test_verdict.py for some of them); see tests/README.md
	$(PYTEST) --durations=10 $(T)

test-all: venv $(KIT_313)  ## run all folders of tests, with a sample of the exhaustive ones (NB_SAMPLE), and what needs Docker, Chromium, gcloud, QEMU or user namespaces
	NB_SAMPLE=$(NB_SAMPLE) $(PYTEST) --durations=30 -m 'not soak' tests/e2e tests/vm tests

test-rest: venv  ## run what `make test` leaves to `make test-all`
	NB_SAMPLE=$(NB_SAMPLE) $(PYTEST) --durations=30 -m '(needs or exhaustive or test_all) and not soak' $(PRODUCT) tests/localcloud tests/test_collection.py

soak: venv  ## run the tests that take hours: all exhaustive ones, every crash point and signal point, random faults and kills (NB_SEED), 10,000 inputs
	failed=0; \
	$(PYTEST) --durations=10 -rP -m 'soak or exhaustive' $(PRODUCT) tests/localcloud || failed=1; \
	NB_EXAMPLES=10000 $(PYTEST) tests/unit/test_options_fuzz.py tests/unit/test_documents_fuzz.py || failed=1; \
	exit $$failed

lint: $(READY) $(LINT) $(KIT)  ## run ruff, mypy --strict, shellcheck, hadolint, and the checks of licences and build files
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/shellcheck builder/vm/*.sh setup/*.sh docker/*.sh docs/site/*.sh requirements/*.sh tests/machine/*.sh .ci/run
	$(VENV)/bin/hadolint Dockerfile
	$(PY) docker/licences.py
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.cloudbuild cloudbuild.yaml examples/*/cloudbuild.yaml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	$(VENV)/bin/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/*_*.yml
	@set -e; for file in cloudbuild.yaml examples/*/cloudbuild.yaml; do \
		echo "pipeline_check $$file"; \
		$(VENV)/lint/bin/pipeline_check --quiet -p cloudbuild --cloudbuild-path $$file --fail-on HIGH --ignore-file .pipeline-check-ignore.yml; \
	done

site: $(SITE)  ## build the documentation site in build/site; a broken link fails
	@docs/site/build.sh

clean-room:  ## run the README's commands on bare Debian 12 and 13 (root, debootstrap; set ROOMS, EACH and OLDEST to change this)
	@ROOMS='$(ROOMS)' EACH='$(EACH)' $(if $(filter undefined,$(origin OLDEST)),,OLDEST='$(OLDEST)') docker/clean-room.sh

machine-test: venv $(KIT_313)  ## run notebooks on real Debian 12 and 13 in QEMU, with Google's guest agent (root, debootstrap, QEMU)
	NB_MAY_LACK= $(PY) -m pytest --durations=8 tests/machine $(if $(ONLY),-k '$(ONLY)')

image:  ## build the container image (needs Docker and git; BASE=IMAGE for another base)
	@BASE='$(BASE)' docker/build.sh

pin:  ## write the digests of the images that the build trusts into Dockerfile and cloudbuild.yaml (Docker, a registry)
	@docker/pin.sh

image-base:  ## build a stand-in for the image's base, for tests without a registry (root, debootstrap)
	@docker/base.sh

image-test: venv  ## run the built image as steps of builds, against localcloud (root; after make image)
	$(PY) -m localcloud.engines.vm.images
	$(PY) -m pytest --durations=8 tests/image

image-submit: venv  ## submit this repository's cloudbuild.yaml to localcloud, with a registry on loopback (root; BASE as for make image)
	@BASE='$(BASE)' $(PY) -m pytest tests/image/own_build.py

image-bench: venv  ## measure how the built image starts, as JSON lines (root; after make image)
	$(PY) -m tests.image.bench

fmt: $(READY)  ## format the code
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix .

bench: venv  ## measure, as JSON lines
	$(PY) -m tests.bench
	$(PY) -m tests.bench_reports
	$(PY) -m tests.bench_scale
	$(PY) -m tests.function.bench

docs: $(READY)  ## update the tables of docs/options.md and docs/accounts.md
	$(PY) -m tests.write_docs

lock: $(READY)  ## resolve pyproject.toml into requirements/*.txt
	requirements/lock.sh

clean:  ## remove everything that was built
	rm -rf $(VENV) build .pytest_cache .mypy_cache .ruff_cache .hypothesis

.DELETE_ON_ERROR:
.PHONY: help venv parts demo report unit test test-all test-rest soak lint site clean-room machine-test image image-base image-test image-submit image-bench fmt bench docs lock clean
