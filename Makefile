# Two commands to begin with: `make demo` and `make test`. Both do all of their set-up.

CARGO ?= cargo

.PHONY: demo docs test test-rust test-sdk test-benches seeded-faults tools bench-tools lint bench bench-peers soak chaos help

help: ## What there is
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1	/'

demo: ## Run server, local push service and demo page; says what to do next
	$(CARGO) run --locked -p tidings -- demo $(DEMO_ARGS)

docs: export PATH := $(CURDIR)/target/tools/bin:$(PATH)
docs: ## Render the book in docs/ to target/book (the tests play it whether or not it is rendered)
	@if command -v mdbook >/dev/null; then \
	    mdbook build docs && echo "Open target/book/index.html"; \
	else \
	    echo "mdbook is missing: run ./scripts/install-mdbook" >&2; exit 1; \
	fi

test: tools test-rust test-sdk seeded-faults ## Install what the tests need where possible, and run all of them

tools: ## Install Firefox, Chromium, Node.js, Python, curl, OpenSSL and other senders for the tests (Debian, as root or with sudo)
	./scripts/install-test-tools
	./scripts/install-test-peers

test-rust: ## Rust: units, stores, API snapshots, whole processes, real Firefox
	$(CARGO) build --locked --workspace --all-targets
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	    $(CARGO) nextest run --locked --workspace; \
	else \
	    $(CARGO) test --locked --workspace --all-targets; \
	fi
	$(CARGO) test --locked --workspace --doc

test-sdk: ## Browser SDK: types, and the service worker in Chromium
	cd sdk && npm ci --no-audit --no-fund && npm test

seeded-faults: ## Prove that the store's tests fail when the store is wrong
	$(CARGO) run --locked -p xtask -- seeded-faults

lint: export PATH := $(CURDIR)/target/tools/bin:$(PATH)
lint: ## Format, lints, tidiness and licences, as CI runs them
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --workspace --no-deps
	$(CARGO) run --quiet --locked -p xtask -- tidy
	@if command -v cargo-deny >/dev/null; then \
	    set -x; $(CARGO) deny --locked check licenses bans sources; \
	elif [ -n "$(REQUIRE_CARGO_DENY)" ]; then \
	    echo "cargo-deny is missing: run ./scripts/install-cargo-deny" >&2; exit 1; \
	else \
	    echo "Licences and banned crates were not checked; CI does. To check them here: ./scripts/install-cargo-deny" >&2; \
	fi

bench-tools: ## Install what the benchmarks need (Debian, as root or with sudo): h2load, OpenSSL's headers, Node.js
	./scripts/install-bench-tools

test-benches: bench-tools ## The benchmarks' own tests, and whether what they compare with still builds
	python3 -m unittest discover benches/peers
	python3 benches/soak.py --help >/dev/null
	$(CARGO) check --locked --manifest-path benches/Cargo.toml --all-targets

bench: bench-tools ## Measure sending as a whole, also against other senders, and write it into docs/benchmarks.md
	python3 benches/peers/bench.py $(BENCH_ARGS)

bench-peers: bench-tools ## Send to the sandbox with other libraries too, and compare (benches/peers/README.md)
	python3 benches/peers/run.py $(BENCH_ARGS)

soak: ## Run for an hour at half speed, and say what grew (SOAK_ARGS="--minutes 5" for less; benches/soak.py --help)
	$(CARGO) build --locked --release -p tidings
	python3 benches/soak.py $(SOAK_ARGS)

chaos: export TIDINGS_CHAOS_SUBSCRIBERS ?= 200000
chaos: export TIDINGS_CHAOS_KILLS ?= 10
chaos: export TIDINGS_CHAOS_OUTAGE_SECONDS ?= 60
chaos: export TIDINGS_CHAOS_DECRYPT_ONE_IN ?= 100
chaos: export TIDINGS_CHAOS_RESTART_SECONDS ?= 2
chaos: ## 200 000 subscribers in bad weather: all faults, kills, an outage, no room on the disk; prints figures
	$(CARGO) test --locked --release -p tidings --test chaos -- --nocapture --test-threads 1
