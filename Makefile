# `make help` lists what there is. Needs make, a POSIX shell, cargo, a C linker and Python; the rest goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help demo test test-fast test-extras test-servers bench bench-tokens bench-cache bench-codec bench-stores bench-router bench-turns check-tokens gate false-hits eval eval-stress eval-ablation soak soak-cache soak-index asan test-arm notebook fuzz wheel lint stubs fbs clean
.DELETE_ON_ERROR:

PY := .venv/bin/python
PIP := $(PY) -m pip install --quiet
STUB := python/rolecore/_core.pyi

# What the package is made of; folders too, so that a deleted file counts as a change.
SOURCES := $(shell find Cargo.toml Cargo.lock pyproject.toml README.md LICENSE LICENSE-APACHE fbs rust python \
	\( -name __pycache__ -o -path rust/fuzz \) -prune -o -print 2>/dev/null)

# Nothing of an active environment leaks in.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME PIP_USER PIP_TARGET PIP_PREFIX $(filter CONDA_%,$(.VARIABLES))
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore
export PATH := $(PATH):$(HOME)/.cargo/bin

# A rustup cargo looks for its toolchains under HOME. When HOME is another one, they still are next to cargo itself.
RUSTUP_BESIDE_CARGO := $(shell PATH="$$PATH:$$HOME/.cargo/bin"; beside=$$(dirname "$$(command -v cargo)")/../../.rustup; \
	set -- "$${RUSTUP_HOME:-$$HOME/.rustup}"/toolchains/*; [ -e "$$1" ] || { cd "$$beside" 2>/dev/null && pwd; })
ifneq ($(RUSTUP_BESIDE_CARGO),)
export RUSTUP_HOME := $(RUSTUP_BESIDE_CARGO)
endif

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' Makefile | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: .venv/.built .venv/.group-demo ## replay recorded sessions through the whole package and check every claim
	@.venv/bin/rolecore demo

test: test-rust .venv/.built .venv/.group-test ## build, install into .venv, run all tests
	@echo "python tests"
	@$(PY) -m pytest

test-fast: .venv/.built .venv/.group-test ## the Python tests that are not marked slow
	@$(PY) -m pytest -m "not slow"

test-extras: .venv/.built .venv/.group-test .venv/.group-extras ## the tests that need onnxruntime, tokenizers or faiss, which `make test` skips
	@$(PY) -m pytest tests/test_index.py tests/test_onnx.py

SERVER_TESTS := tests/test_stalling_proxy.py tests/test_store_servers.py tests/test_store_redis.py tests/test_store_postgres.py tests/test_server_faults.py \
	tests/test_shared_limits.py tests/test_shared_limit_faults.py tests/test_role_processes.py

test-servers: .venv/.built .venv/.group-test .venv/.group-servers ## the tests that need Redis and PostgreSQL: starts both, on free ports, and stops them
	@$(PY) tests/servers.py $(PY) -m pytest $(SERVER_TESTS)

.PHONY: test-rust
test-rust: .venv/.made
	@echo "rust tests" && cargo test --quiet --locked -p rolecore-core

bench: .venv-bench/.made ## measure against pinned peers, in a venv of their own; minutes
	@.venv-bench/bin/python -m pytest benches/python --texts="$(DATA)"

bench-tokens: .venv-bench/.token-peers ## only counting, with more peers: make bench-tokens [DATA=folder with recorded talk]
	@.venv-bench/bin/python -m pytest benches/python/bench_tokens.py benches/python/bench_tokens_hostile.py --texts="$(DATA)"

N ?= 1000000
JOBS ?= 2

bench-cache: .venv-bench/.cache-peers ## only the vector cache, with more peers: make bench-cache [DATA=folder with recorded talk] [N=1000000 puts that must not leak]
	@.venv-bench/bin/python -m pytest benches/python/bench_cache*.py --texts="$(DATA)" --operations=$(N)

bench-codec: .venv-bench/.codec-peers ## only the codecs, with their peers, and the tables of docs/codecs.md; minutes
	@mkdir -p target && .venv-bench/bin/python -m pytest benches/python/bench_codec*.py --ratios=target/codec-ratios.json; bars=$$?; \
	.venv-bench/bin/python benches/python/codec_table.py target/codec-ratios.json && exit $$bars

SESSIONS ?= 100000
RATE ?= 10000
KILLS ?= 200

bench-stores: bench-sessions bench-sqlite bench-servers ## stores and sessions against their bars, at length; two hours. Each alone: bench-sessions, bench-sqlite, bench-servers

.PHONY: bench-sessions bench-sqlite bench-servers
bench-sessions: .venv/.built # idle sessions, messages a second, waking, and fleets on virtual time: [SESSIONS=100000] [RATE=10000] [SECONDS=60]
	@$(PY) benches/python/stores_sessions.py --sessions $(SESSIONS) --rate $(RATE) --seconds $(SECONDS)
	@$(PY) benches/python/stores_simulation.py --sessions $(SESSIONS)

bench-sqlite: .venv/.built .venv/.group-test # power cuts, kills and failing disks, and the speed of appends, on the disk of TMPDIR=/var/tmp
	@$(PY) benches/python/stores_sqlite.py

bench-servers: .venv/.built .venv/.group-servers # stores against KILLS=200 kills, every broken byte and silent servers
	@$(PY) benches/python/stores_servers.py --kills $(KILLS)

bench-turns: .venv-bench/.turn-peers ## what a call of an agent costs the client, against the openai SDK, at a local server; a minute
	@.venv-bench/bin/python benches/python/turn_openai_agent.py

.PHONY: bench-limits
bench-limits: .venv/.built .venv/.group-servers ## whether 4 processes on one Redis keep to a limit, and what they leave of it unused; 5 minutes
	@$(PY) benches/python/limits_shared.py

bench-router: .venv/.built ## which role a router chooses: its speed, its false alarms, and its policies on unlike servers; minutes: [DATA=folder with recorded talk]
	@$(PY) benches/python/router_speed.py --texts="$(DATA)"
	@$(PY) benches/python/router_simulation.py
