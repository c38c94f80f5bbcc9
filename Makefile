# Copyright: (c) 2026, the quiesce.vmware_zfs authors
# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

LAB := tests/lab/lab
VENV := build/venv

.DEFAULT_GOAL := help
unexport PYTHONDONTWRITEBYTECODE # otherwise each process of a test compiles the engine again
.PHONY: help setup demo restore drill unit test check chaos bench fleet docs lab-up lab-down clean

help: ## show these lines
	@grep -hE '^[a-z-]+: .*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+): .*## /\1\t/' | expand -t 12

setup: ## build the lab and the virtual environment (first time: some minutes)
	@$(LAB) setup

demo: setup ## show the whole workflow in the lab; ARGS=-v shows all output, ARGS=--keep leaves the lab running
	@$(VENV)/bin/python -m tests.lab.demo $(ARGS)

restore: setup ## restore VMs in the lab of the demo; ARGS=--kept uses the lab of 'make demo ARGS=--keep'
	@$(VENV)/bin/python -m tests.lab.restore_demo $(ARGS)

drill: setup ## drill VMs in the lab of the demo; ARGS=--kept uses the lab of 'make demo ARGS=--keep'
	@$(VENV)/bin/python -m tests.lab.drill_demo $(ARGS)

unit: setup ## the unit tests, in three processes, because some tests wait
	@$(VENV)/bin/python -m pytest tests/unit -q -n 3 --dist worksteal

test: setup ## every test but those of `make check`, in two processes (tests/conftest.py)
	@$(VENV)/bin/python -m pytest tests -q -m "not check" -n 2 --dist loadgroup --durations=15

check: setup ## what a reviewer runs: nox, every molecule scenario, every integration target
	@$(VENV)/bin/nox
	@$(VENV)/bin/python -m pytest tests -q -m check --durations=15

chaos: setup ## faults at drawn instants, for longer than a test may take; SEED=n repeats a sequence
	@$(VENV)/bin/python -m tests.chaos

fleet: setup ## simulate 1,000 storage hosts, for docs/scaling.md
	@$(VENV)/bin/python -m benchmarks.fleet

docs: setup ## the documentation as a site, in build/docs/html
	@$(VENV)/bin/python -m tests.check.site

bench: setup ## measure beside others, into docs/benchmarks.md; takes one to two hours
	@$(VENV)/bin/python -m benchmarks

lab-up: setup ## have a storage host running
	@$(LAB) up

lab-down: ## stop every storage host of this checkout
	@$(LAB) down --all

clean: ## leave nothing running and nothing mounted, and remove build/
	@$(LAB) clean
