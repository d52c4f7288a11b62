# The commands of the project. `make run` and `make test` set up what they need by themselves:
# a virtual environment in .venv, and dependencies pinned by content in requirements*.txt.

PYTHON ?= python3
PY := .venv/bin/python
RINGZERO := $(PY) -m ringzero
WORKERS ?= 2
MINUTES ?= 10
SESSION := sh -c 'uname -a; cat /proc/cpuinfo'

.PHONY: run test setup setup-dev image try-image check format format-check lint types layering \
	tests test-kvm lockstep soak fuzz bench requirements clean help

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

run: image  ## boot Debian's riscv64 kernel to a shell (a short scripted session without a terminal)
	@if [ -t 0 ]; then $(RINGZERO) run; \
	elif $(RINGZERO) image list --json | grep -q '"name": "debian"'; \
	then $(RINGZERO) run --timeout 5m debian -- $(SESSION) </dev/null; \
	else $(RINGZERO) run --timeout 5m guest </dev/null; fi

test: setup-dev check try-image tests  ## every check and every test

setup: .venv/.runtime
setup-dev: .venv/.dev

.venv/.runtime: requirements.txt scripts/make-venv
	scripts/make-venv $(PYTHON) .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.txt
	@touch $@

.venv/.dev: .venv/.runtime requirements-dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

image: setup  ## fetch the Debian kernel and busybox through the host's apt (once)
	@$(RINGZERO) image fetch debian || \
		echo 'make: no Debian image; `ringzero run` boots the bundled guest kernel instead.' >&2

try-image: setup
	@$(RINGZERO) image fetch debian || \
		echo 'make: no Debian image, so the tests that need one are skipped.' >&2

check: format-check lint types layering  ## format, lint, types, layering

format: setup-dev  ## rewrite the sources as the formatter wants them
	$(PY) -m ruff format .
	$(PY) -m ruff check --fix-only --quiet .

format-check: setup-dev
	$(PY) -m ruff format --check .
lint: setup-dev
	$(PY) -m ruff check .
types: setup-dev
	$(PY) -m mypy
layering: setup-dev
	.venv/bin/lint-imports --no-cache

tests: setup-dev  ## the tests alone
	$(PY) -m pytest -n $(WORKERS) --dist worksteal

test-kvm: setup  ## the KVM board on a complete SVM, which QEMU emulates (three minutes)
	$(PY) -m tests.kvm.nested

lockstep: setup-dev  ## a million random instructions beside Spike, no difference allowed
	$(PY) -m tests.lockstep --count 1000000
	$(PY) -m tests.lockstep --count 500000 --hypervisor --strides

# MINUTES=40 makes it two hours.
fuzz: setup-dev  ## MINUTES (10) of each fuzzer: SBI calls, shared folders, the API; then lockstep
	$(PY) -m tests.fuzz.sbi --minutes $(MINUTES)
	$(PY) -m tests.fuzz.fuse --minutes $(MINUTES)
	$(PY) -m tests.fuzz.api --minutes $(MINUTES)
	$(PY) -m tests.lockstep --count 500000

soak: setup-dev  ## half an hour of Debian's stress-ng on four harts
	$(PY) -m tests.soak --minutes 30

bench: setup  ## measure, with QEMU beside it where installed
	$(RINGZERO) bench

requirements: setup-dev  ## pin the dependencies of pyproject.toml again, by content
	scripts/pin-requirements $(PYTHON)

clean:  ## remove what the targets above made
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
