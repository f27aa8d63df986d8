# make demo | test | quick | lint | bench | env | clean ...; each sets up the environment first, and only once.
SHELL := bash
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help env demo quick test test-all test-container test-gpu-build test-fresh lint bench clean

VENV ?= .venv
export VENV := $(abspath $(VENV))
export PATH := $(VENV)/bin:$(PATH)
PYTHON_IN := $(VENV)/bin/python

# What `make quick` runs: no TensorFlow, no ranks, no simulation.
QUICK := $(patsubst %,tests/unit/test_%.py,labels tiling preprocessing noise shard tileset \
	sampler metrics rules calibration section configuration launcher world workpool messages files \
	images_units images_beams grid view islands products products_outlines no_code requirements)

# What test-container and test-fresh try: the Debian, and the command in a fresh one.
SUITE ?= bookworm
TRY ?= make demo

# Open MPI asks root to say twice that it means it.
ifeq ($(shell id -u),0)
export OMPI_ALLOW_RUN_AS_ROOT := 1
export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM := 1
endif

# $(call timed,WHAT,COMMAND): say what begins, and how long it took.
define timed
@printf '== %s\n' '$(1)'; TIMEFORMAT='== $(firstword $(1)) %0R s'; time { $(2); }
endef

help:
	@echo 'make demo    the whole way once, from a mock sky to a mask and a picture'
	@echo 'make test    ruff, mypy and the tests'
	@echo 'make quick   ruff, mypy and the units that matter most, within a minute'
	@echo 'make test-all   the tests of make test and those that take too long for it'
	@echo 'make test-container   the Apptainer recipe built in a Debian root, and ranks in it (as root; SUITE=trixie for Debian 13)'
	@echo 'make test-gpu-build   Horovod built for GPUs without any, and held against the build for CPUs (as root)'
	@echo 'make test-fresh       make demo in a bare Debian root, of what is committed (as root; SUITE=trixie, TRY="--user make test")'
	@echo 'make lint    ruff and mypy alone'
	@echo 'make bench   the numbers of the README performance table'
	@echo 'make env     only the set-up that all of them begin with: env/setup.sh, its options at its head'
	@echo 'make clean   remove what was built here; images, tiles, runs and products stay'

env:
	@bash env/setup.sh

demo: env
	@bash demo/run.sh

lint: env
	$(call timed,lint: ruff and mypy,ruff check . && ruff format --check . && mypy)
	@if command -v shellcheck >/dev/null; then shellcheck -x slurm/*.sh tests/*.sh env/*.sh demo/*.sh; else echo 'shellcheck: not installed'; fi

quick: lint
	$(call timed,tests: units that matter most (half a minute),$(PYTHON_IN) -m pytest -q -n 2 --dist loadfile $(QUICK))

test: lint
	$(call timed,tests: units$(comma) two at a time (about 6 minutes),$(PYTHON_IN) -m pytest -m 'not slow' -n 2 --dist loadfile tests/unit)
	$(call timed,tests: end to end$(comma) MPI and Slurm (about 13 minutes),tests/at_once.sh $(PYTHON_IN) -m 'not slow')

test-all: lint
	$(call timed,tests: units$(comma) two at a time (about 8 minutes),$(PYTHON_IN) -m pytest -n 2 --dist loadfile tests/unit)
	$(call timed,tests: end to end$(comma) MPI and Slurm (about 20 minutes),tests/at_once.sh $(PYTHON_IN))

test-container: env
	$(call timed,image: %post and %test of the recipe (10 minutes$(comma) 3 when built before),$(PYTHON_IN) containers/check.py build BASE=debian:$(SUITE)-slim)
	$(call timed,tests: ranks in the image,$(PYTHON_IN) -m pytest tests/slurm/test_container.py)

test-gpu-build: env
	$(call timed,GPU build: Horovod with NCCL$(comma) imported and trained on CPU tensors (15 minutes),bash tests/gpu_build.sh)

test-fresh:
	$(call timed,fresh machine: $(SUITE)$(comma) $(TRY) (15 minutes),python3 tests/fresh_machine.py $(SUITE) $(TRY))

bench: env
	$(call timed,benchmarks (about 8 minutes on a quiet machine),$(PYTHON_IN) -m benchmarks && \
		$(PYTHON_IN) -m benchmarks.sweep && $(PYTHON_IN) -m benchmarks.tile_store --images 60 && $(PYTHON_IN) -m benchmarks.training)

clean:
	if [ -e "$(VENV)/.made" ]; then rm -rf "$(VENV)"; fi  # only one that env/setup.sh made
	rm -rf build dist ./*.egg-info .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

comma := ,
