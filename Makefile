.DEFAULT_GOAL := help
PYTHON_FOLDERS := cli gateway services shared deploy tests
WORKERS ?= auto
CASES ?= 100000
# The developer's own settings win over those of the last `make run`.
ENVIRONMENT := if [ -z "$$DRAGOMAN_POSTGRES_URL" ] && [ -f .run/env ]; then . ./.run/env; fi;
COMPILE := .venv/bin/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header \
	--no-emit-index-url --python-version 3.11
FASTAPI_USERS := tests/bench/peers/fastapi_users

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: bootstrap
bootstrap:
	@sh deploy/bootstrap.sh

.PHONY: run
run: bootstrap ## Run the whole platform with demo data until Ctrl-C
	@.venv/bin/python -m deploy.run

.PHONY: demo-reset
demo-reset: bootstrap ## Put the demo data back (while `make run` is active)
	@$(ENVIRONMENT) .venv/bin/python -m deploy.demo

.PHONY: seeds
seeds: demo-reset ## Send every request of the seed documents and print the answers (while `make run` is active)
	@$(ENVIRONMENT) .venv/bin/python -m deploy.seeds; status=$$?; .venv/bin/python -m deploy.demo && exit $$status

.PHONY: migrate
migrate: bootstrap ## Bring the database up to date
	@$(ENVIRONMENT) .venv/bin/dragoman migrate

.PHONY: test
# In the order of the folders, so that the quick unit tests come last and no worker is left alone with a long file.
test: bootstrap ## Run all tests; it sets up the servers they need
	.venv/bin/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

.PHONY: bench
bench: bootstrap ## Measure every operation beside the machine's own floors
	@.venv/bin/python -m tests.bench

.PHONY: bench-replicas
bench-replicas: bootstrap ## Measure what a second replica of token adds
	@.venv/bin/python -m tests.bench.replicas

.PHONY: bench-scale
bench-scale: bootstrap ## Measure whether a million users cost more per request than a thousand
	@.venv/bin/python -m tests.bench.scale

.PHONY: bench-revocation
bench-revocation: bootstrap ## Measure how soon revoked tokens are refused everywhere
	@.venv/bin/python -m tests.bench.revocation

.PHONY: bench-rotation
bench-rotation: bootstrap ## Check that no valid token is refused while signing keys change
	@.venv/bin/python -m tests.bench.rotation

.PHONY: bench-introspection
bench-introspection: bootstrap ## Measure introspection, by token and from memory
	@.venv/bin/python -m tests.bench.introspection

.PHONY: bench-timing
bench-timing: bootstrap ## Measure whether the time of an answer tells who has an account
	@.venv/bin/python -m tests.bench.timing

.PHONY: bench-peers
bench-peers: bootstrap ## Measure beside others' software, under the same load on the same cores
	@.venv/bin/python -m tests.bench.peers

.PHONY: fuzz
fuzz: bootstrap ## Try CASES=100000 requests and turns of sessions that nobody thought of
	@mkdir -p .run; .venv/bin/python -m pytest tests/fuzz --cases $(CASES) --capture=no --quiet --no-header > .run/fuzz.log 2>&1; \
	status=$$?; sed -n '/ cases in /,$$p' .run/fuzz.log; exit $$status

.PHONY: test-faults
test-faults: bootstrap ## Kill, freeze and cut off everything under load, and print what came of it
	@rm -rf .run/faults; .venv/bin/python -m pytest tests/faults --long --capture=no --quiet --no-header; \
	status=$$?; .venv/bin/python -m tests.faults.report; exit $$status

.PHONY: faults-page
faults-page: bootstrap ## Make docs/faults.md from what `make test-faults` measured last
	@.venv/bin/python -m tests.faults.report --page > docs/faults.md

.PHONY: verify-deploy
verify-deploy: bootstrap ## Try image, compose file and chart (5 minutes; takes Docker, or Debian and root)
	@.venv/bin/python -m deploy.verify

.PHONY: verify-cluster
verify-cluster: bootstrap ## Try the chart on the cluster that kubectl points at (HELM_ARGS are passed on)
	@.venv/bin/python -m deploy.verify.cluster

.PHONY: lint
lint: bootstrap ## Check style, types and who imports whom
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy --strict $(PYTHON_FOLDERS)
	.venv/bin/lint-imports --config tests/architecture/importlinter.toml

.PHONY: check
check: lint test ## Lint and test: what has to pass before a commit

.PHONY: format
format: bootstrap ## Rewrite the code in the project's style
	.venv/bin/ruff check --fix
	.venv/bin/ruff format

.PHONY: docs
docs: bootstrap ## Make docs/settings.md and what the chart takes from the code anew
	@.venv/bin/python -m cli.settings_page > docs/settings.md
	@.venv/bin/python -m deploy.helm_settings > deploy/helm/dragoman/files/settings.yaml
	@.venv/bin/python -m deploy.helm_readme

.PHONY: lock
lock: bootstrap ## Make the lock files anew from pyproject.toml
	@[ -x .venv/bin/uv ] || .venv/bin/python -m pip install --quiet uv
	$(COMPILE) pyproject.toml --output-file requirements.lock
	$(COMPILE) pyproject.toml --extra otel --constraint requirements.lock --output-file requirements-otel.lock
	$(COMPILE) pyproject.toml --extra otel --group dev --constraint requirements-otel.lock \
		--output-file requirements-dev.lock
	$(COMPILE) tests/dialects/clients/node.in --output-file tests/dialects/clients/node.lock
	$(COMPILE) $(FASTAPI_USERS)/requirements.in --output-file $(FASTAPI_USERS)/requirements.lock

.PHONY: clean
clean: ## Remove .venv and .run with all that this checkout has kept
	@python=.venv/bin/python; [ -x $$python ] || python=python3; \
	$$python -m deploy.servers remove && $$python -m deploy.servers remove --directory .run
	@rm -rf .venv
