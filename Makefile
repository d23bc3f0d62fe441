# What people and CI run. `make` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
FUZZ_VENV := .venv-fuzz
ARGS ?=

# DynamoDB Local comes inside this npm package of AWS (licence: development only, never committed).
DYNAMODB_LOCAL := amplify-dynamodb-simulator@2.9.30
DYNAMODB_LOCAL_SHA256 := 3503ffac19f183407909fecdacf4db51ab1fdad1da7b2f177016670b2d80e4b9

.DEFAULT_GOAL := help
.PHONY: help run test scale fuzz faults lint types package check gallery pictures bench pins
.PHONY: dynamodb-local oidc-provider clean

help: ## List what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/ready ## Run the portal on this machine; ARGS="--port 4577 --fresh --roster FILE.zip"
	@$(BIN)/python local.py $(ARGS)

# What is deployed goes first, as its answers' times matter; what needs no stack takes the time that is left
# on every core, and is shown afterwards.
test: $(VENV)/ready ## Run every test that this machine can run; ARGS="tests/unit -k key"
ifeq ($(ARGS),)
	@mkdir -p .build
	@nice -n 19 $(BIN)/python -m pytest -n auto --dist loadfile --ignore tests/e2e \
	  >.build/tests.log 2>&1 & beside=$$!; \
	$(BIN)/python -m pytest tests/e2e; deployed=$$?; \
	wait $$beside; others=$$?; cat .build/tests.log; exit $$((deployed + others))
else
	$(BIN)/python -m pytest $(ARGS)
endif

scale: $(VENV)/ready ## Import 50,000 students on the local stack (a quarter of an hour)
	$(BIN)/python -m pytest -s -m scale tests/e2e/test_import_scale.py $(ARGS)

fuzz: $(VENV)/ready $(FUZZ_VENV)/ready ## Call every operation of /openapi.json with what nobody thought of (a few minutes)
	$(BIN)/python -m fuzz.run $(ARGS)

faults: $(VENV)/ready ## Let every AWS call of every form fail in every way (some minutes)
	PARENT_PORTAL_EVERY_FAULT=1 $(BIN)/python -m pytest -n auto --dist load tests/portal/test_*faults.py

lint: $(VENV)/ready ## Check style and layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

types: $(VENV)/ready ## Check types
	$(BIN)/mypy app.py chalicelib local.py package.py

package: $(VENV)/ready ## Write template and zip for AWS to .build/prod, and check the template
	$(BIN)/python package.py prod
	$(BIN)/cfn-lint .build/prod/template.json

check: lint types package test ## All of these

gallery: $(VENV)/ready ## Write every page and mail in every state, to look at
	$(BIN)/python -m tests.gallery .build/gallery

pictures: $(VENV)/ready ## Take a picture of every page in every setting, and judge each (20 minutes)
	@mkdir -p .build/pictures
	PARENT_PORTAL_PICTURES=$(CURDIR)/.build/pictures $(BIN)/python -m pytest -m browser $(ARGS)

bench: $(VENV)/ready ## Measure whether answers' times tell known from unknown; ARGS=500
	$(BIN)/python -m bench.answers $(ARGS)

dynamodb-local: .local-tools/dynamodb-local/DynamoDBLocal.jar ## Fetch DynamoDB Local (needs npm)

oidc-provider: .local-tools/oidc-provider/ready ## Fetch the identity provider of the tests (needs npm)

pins: ## Pin the libraries of requirements*.in anew (needs uv: pip install uv)
	UV_CUSTOM_COMPILE_COMMAND="make pins" uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-find-links requirements.in -o requirements.txt
	UV_CUSTOM_COMPILE_COMMAND="make pins" uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-find-links requirements-dev.in -o requirements-dev.txt
	UV_CUSTOM_COMPILE_COMMAND="make pins" uv pip compile -q --universal --python-version 3.11 \
	  --generate-hashes --no-emit-find-links requirements-fuzz.in -o requirements-fuzz.txt

clean: ## Forget what was built and the local stack's state
	rm -rf .build .local .pytest_cache .mypy_cache .ruff_cache

$(VENV)/ready: requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed; make PYTHON=... names one.")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@touch $@

$(FUZZ_VENV)/ready: requirements-fuzz.txt
	$(PYTHON) -m venv $(FUZZ_VENV)
	$(FUZZ_VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-fuzz.txt
	@touch $@

.local-tools/dynamodb-local/DynamoDBLocal.jar:
	@mkdir -p .local-tools
	cd .local-tools && npm pack --silent $(DYNAMODB_LOCAL)
	cd .local-tools && echo "$(DYNAMODB_LOCAL_SHA256)  amplify-dynamodb-simulator-2.9.30.tgz" | sha256sum --check --quiet
	cd .local-tools && tar -xzf amplify-dynamodb-simulator-2.9.30.tgz package/emulator
	rm -rf .local-tools/dynamodb-local
	mv .local-tools/package/emulator .local-tools/dynamodb-local
	rm -r .local-tools/package .local-tools/amplify-dynamodb-simulator-2.9.30.tgz
	@touch $@

# Pinned with all it needs, by hash, in its package-lock.json.
.local-tools/oidc-provider/ready: tests/e2e/oidc-provider/package-lock.json
	@mkdir -p $(@D)
	cp tests/e2e/oidc-provider/package.json tests/e2e/oidc-provider/package-lock.json $(@D)
	cd $(@D) && npm ci --silent --ignore-scripts --no-audit --no-fund
	@touch $@
