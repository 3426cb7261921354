# Says in under a second what the build needs and does not find, one sentence each; prints the Python to use.
set -u
problems=0
missing() { echo "missing: $*" >&2; problems=1; }

# older A B: version A is below B.
older() { [ "$1" != "$2" ] && [ "$(printf '%s\n%s\n' "$1" "$2" | sort -t . -k1,1n -k2,2n -k3,3n | head -n 1)" = "$1" ]; }

wanted_rust=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
wanted_python=$(sed -n 's/^requires-python = ">=\(.*\)"/\1/p' pyproject.toml)

if ! command -v cargo >/dev/null || ! command -v rustc >/dev/null; then
    missing "cargo and rustc (Rust $wanted_rust or newer), on PATH or in ~/.cargo/bin; see https://rustup.rs"
elif ! rust=$(RUST_BACKTRACE=0 rustc --version 2>&1) || ! cargo --version >/dev/null 2>&1; then
    missing "a Rust toolchain that runs: $(command -v rustc) says \"$(echo "$rust" | head -n 1)\"; run \`rustup default stable\` or set RUSTUP_HOME"
else
    found=$(echo "$rust" | sed 's/^rustc \([0-9.]*\).*/\1/')
    if older "$found" "$wanted_rust"; then
        missing "Rust $wanted_rust or newer: $(command -v rustc) is $found; run \`rustup update\` or put a newer one first on PATH"
    fi
fi
command -v cc >/dev/null || missing "a C linker, as cc, which rustc calls; on Debian: apt-get install gcc libc6-dev"

python=
seen=
for candidate in ${PYTHON:+"$PYTHON"} python3 python3.11 python3.12 python3.13 python3.14; do
    if version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null); then
        if ! older "$version" "$wanted_python"; then
            python=$candidate
            break
        fi
        seen="$seen $candidate is $version;"
    elif [ -n "${PYTHON:-}" ]; then
        seen=" PYTHON=$PYTHON does not run;"
    fi
    [ -z "${PYTHON:-}" ] || break
done
if [ -z "$python" ]; then
    missing "Python $wanted_python or newer:${seen:- none on PATH;} install it or name it with PYTHON=..."
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    # Debian keeps ensurepip in a package of its own; a pip of 22.3 or newer can fill a venv from outside.
    "$python" -c 'import venv, pip; raise SystemExit(tuple(map(int, pip.__version__.split(".")[:2])) < (22, 3))' 2>/dev/null ||
        missing "the venv module of $python; on Debian: apt-get install python3-venv"
fi
[ "$problems" = 0 ] && echo "$python"
