# Two commands are all the set-up: `make dev` and `make test`.

SHELL := /bin/sh
CARGO := cargo
WASM := wasm32-unknown-unknown
NEXTEST := 0.9.143
VENV := target/clients-venv
COMPOSE_SCHEMA := 0.39.0
APT := apt-get install --yes --no-install-recommends
# Always the same members, so that the features of what they depend on are too:
# each other choice would compile much of it again.
MEMBERS := --workspace --exclude agentidp-edge

.PHONY: help dev test bench lint fuzz edge-conformance sqlx toolchain edge cloudflare policies clients peers python redis stack gateways nextest

help: ## Show this list.
	@sed -n 's/^\([a-z-]*\):.*## /  make \1 \t/p' Makefile

dev: toolchain edge ## Build and start everything on this machine, on the embedded default.
	@echo "Building the core (the first time takes some minutes)..."
	@$(CARGO) build --release --locked --package agentidp-core --bin agentidp
	@exec target/release/agentidp dev

test: toolchain edge cloudflare policies clients redis stack gateways nextest ## Run every test, against a real Postgres and a real Redis.
	@FUZZ_SECONDS=4 fuzz/run.sh
	@echo "Building the tests..."
	@$(CARGO) build --release --locked $(MEMBERS) --examples
	@target/release/examples/services $(CARGO) nextest run --release --locked $(MEMBERS)

bench: toolchain edge policies peers redis ## Measure the service, the edge and their peers, and write bench/RESULTS.md.
	@echo "Building the benchmark..."
	@$(CARGO) build --release --locked $(MEMBERS) --bins --examples
	@target/release/agentidp-bench

lint: toolchain ## Check formatting, clippy and rustdoc, with warnings denied.
	$(CARGO) fmt --all --check
	cd policies && $(CARGO) fmt --all --check
	cd fuzz && $(CARGO) fmt --all --check
	cd bench/peers/policies && $(CARGO) fmt --all --check
	mkdir -p target && rm -rf target/my-policy && cp -r policies/template target/my-policy && cp -r policies/sdk target/my-policy/sdk
	cd target/my-policy && $(CARGO) fmt --check
	$(CARGO) clippy --release --locked $(MEMBERS) --all-targets -- -D warnings
	$(CARGO) clippy --release --locked --package agentidp-edge --target $(WASM) -- -D warnings
	cd policies && $(CARGO) clippy --release --locked --target $(WASM) --target-dir ../target/policies -- -D warnings
	cd policies && $(CARGO) clippy --locked --all-targets --target-dir ../target/policies -- -D warnings
	cd target/my-policy && $(CARGO) clippy --locked --all-targets --target-dir ../policies -- -D warnings
	cd fuzz && $(CARGO) clippy --release --locked -- -D warnings
	cd bench/peers/policies && $(CARGO) clippy --release --locked --target-dir ../../../target/policy-peers -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked $(MEMBERS) --no-deps --document-private-items
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --release --locked --package agentidp-edge --target $(WASM) --no-deps --document-private-items
	cd policies && RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps --target-dir ../target/policies

fuzz: toolchain ## Fuzz the parsers, each for FUZZ_SECONDS (60 unless it is set).
	@FUZZ_SECONDS="$${FUZZ_SECONDS:-60}" fuzz/run.sh

edge-conformance: ## Ask the edge at URL whether it does what an edge must; docs/edge.md says what else it may be told.
	@test -n "$(URL)" || { echo "URL is required: make edge-conformance URL=https://…"; exit 1; }
	@echo "Building the suite and asking the edge: about a minute..."
	@$(CARGO) run --quiet --release --locked --package agentidp-edge-conformance

sqlx: ## Check the statements against the schema and renew .sqlx; DATABASE_URL names a migrated database.
	@test -n "$$DATABASE_URL" || { echo "set DATABASE_URL to a database that agentidp migrate has migrated"; exit 1; }
	rm -rf .sqlx && mkdir .sqlx
	touch core/src/lib.rs
	SQLX_OFFLINE=false SQLX_OFFLINE_DIR=$(CURDIR)/.sqlx $(CARGO) check --release --locked $(MEMBERS)

toolchain: # The compiler's target for the edge and the policies.
	@command -v rustup >/dev/null || { echo "rustup is needed: https://rustup.rs"; exit 1; }
	@rustup toolchain list | grep -q "$$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)" || rustup toolchain install
	@rustup target list --installed | grep -qx $(WASM) || rustup target add $(WASM) \
	  || { echo "the target is missing; run: rustup target add $(WASM)"; exit 1; }

edge: # The Worker, and workerd to run it in.
	@command -v npm >/dev/null || { echo "Node 20 with npm is needed for workerd: https://nodejs.org"; exit 1; }
	@test edge/node_modules/.package-lock.json -nt edge/package-lock.json \
	  || { echo "Installing workerd..."; npm ci --silent --prefix edge; }
	@echo "Building the edge (the first time takes some minutes)..."
	@$(CARGO) run --release --locked --package agentidp-edge-bundle

cloudflare: # Cloudflare's own tools: wrangler, and miniflare to run the edge in.
	@test edge/cloudflare/node_modules/.package-lock.json -nt edge/cloudflare/package-lock.json \
	  || { echo "Installing wrangler..."; npm ci --silent --prefix edge/cloudflare; }

policies: # The tests of the SDK and the examples, and their modules: the journeys run them.
	@echo "Building the policies..."
	@cd policies && $(CARGO) test --quiet --locked --no-run --target-dir ../target/policies
	@cd policies && $(CARGO) build --quiet --release --locked --target $(WASM) --target-dir ../target/policies

clients: python # The stock clients that the journeys run.
	@test core/tests/clients/node_modules/.package-lock.json -nt core/tests/clients/package-lock.json \
	  || { echo "Installing the stock clients..."; npm ci --silent --prefix core/tests/clients; }
	@test $(VENV)/installed -nt core/tests/clients/requirements.txt \
	  || { echo "Installing Authlib..."; python3 -m venv --clear $(VENV) && $(VENV)/bin/python -m pip install --quiet \
	    --disable-pip-version-check --require-hashes --requirement core/tests/clients/requirements.txt && touch $(VENV)/installed; }

python: # Python's venv, unless it is there.
	@python3 -c "import ensurepip, venv" 2>/dev/null \
	  || { echo "Installing python3-venv..."; $(APT) python3-venv || { apt-get update && $(APT) python3-venv; }; } \
	  || { echo "Python 3.11 with venv is needed; run: sudo apt-get install python3-venv"; exit 1; }

peers: # What the benchmark measures the service beside.
	@test bench/peers/node_modules/.package-lock.json -nt bench/peers/package-lock.json \
	  || { echo "Installing the peers..."; npm ci --silent --prefix bench/peers; }
	@echo "Building Cedar and Rego (the first time takes some minutes)..."
	@cd bench/peers/policies && $(CARGO) build --quiet --release --locked --target-dir ../../../target/policy-peers

redis: # A Redis server, unless REDIS_URL names one.
	@test -n "$$REDIS_URL" || command -v redis-server >/dev/null \
	  || { echo "Installing redis-server..."; $(APT) redis-server || { apt-get update && $(APT) redis-server; }; } \
	  || { echo "a Redis server is needed; run: sudo apt-get install redis-server, or set REDIS_URL"; exit 1; }

stack: python # What the local stack is checked with: the compose schema, Prometheus, and the stores' own checks.
	@target/compose-schema/bin/check-jsonschema --version 2>/dev/null | grep -q ' $(COMPOSE_SCHEMA)$$' \
	  || { echo "Installing the compose schema..."; python3 -m venv --clear target/compose-schema \
	    && target/compose-schema/bin/pip install --quiet --disable-pip-version-check check-jsonschema==$(COMPOSE_SCHEMA); }
	@command -v promtool >/dev/null || test -x target/prometheus/usr/bin/promtool \
	  || { echo "Unpacking Prometheus (no service is installed)..."; mkdir -p target/prometheus && cd target/prometheus \
	    && { apt-get download prometheus || { apt-get update && apt-get download prometheus; }; } && dpkg-deb --extract prometheus_*.deb .; } \
	  || { echo "Prometheus is missing; run: sudo apt-get install prometheus"; exit 1; }
	@{ command -v redis-server && command -v redis-cli; } >/dev/null \
	  || { echo "Installing redis-server..."; $(APT) redis-server || { apt-get update && $(APT) redis-server; }; } \
	  || { echo "redis-server and redis-cli are missing; run: sudo apt-get install redis-server"; exit 1; }
	@command -v pg_isready >/dev/null \
	  || { echo "Installing postgresql-client..."; $(APT) postgresql-client || { apt-get update && $(APT) postgresql-client; }; } \
	  || { echo "pg_isready is missing; run: sudo apt-get install postgresql-client"; exit 1; }

gateways: # nginx and Caddy, which the journeys put before the edge.
	@for gateway in nginx caddy; do \
	  command -v $$gateway >/dev/null || test -n "$$(find target/$$gateway/usr -name $$gateway -type f -perm -1 2>/dev/null)" \
	    || { echo "Unpacking $$gateway (no service is installed)..."; mkdir -p target/$$gateway && cd target/$$gateway \
	      && { apt-get download $$gateway || { apt-get update && apt-get download $$gateway; }; } \
	      && dpkg-deb --extract $${gateway}_*.deb . && cd ../..; } \
	    || { echo "$$gateway is missing; run: sudo apt-get install $$gateway"; exit 1; }; \
	done

nextest: # The test runner.
	@$(CARGO) nextest --version >/dev/null 2>&1 \
	  || { echo "Installing cargo-nextest (takes some minutes)..."; $(CARGO) install cargo-nextest --locked --version $(NEXTEST); } \
	  || { echo "the test runner is missing; run: cargo install cargo-nextest --locked"; exit 1; }
