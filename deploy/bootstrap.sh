#!/bin/sh
# Makes .venv with everything this checkout needs. Does nothing when that is done already; works without a terminal.
set -eu
cd "$(dirname "$0")/.."
log=.run/bootstrap.log

fail() {
    echo "error: $1" >&2
    exit 1
}

quietly() {
    "$@" >"$log" 2>&1 </dev/null || {
        tail -n 20 "$log" >&2
        fail "this failed: $*"
    }
}

find_python() {
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$name"
            return
        fi
    done
    fail "python 3.11 or newer is needed: install it, or set PYTHON to its path"
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        sudo -n "$@"
    fi
}

install_venv_package() {
    command -v apt-get && as_root true || return 1
    as_root apt-get update || true
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        "$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" python3-venv
}

make_virtualenv() {
    rm -rf .run/virtualenv
    "$1" -m pip install --target .run/virtualenv virtualenv || return 1
    PYTHONPATH=.run/virtualenv "$1" -m virtualenv .venv || return 1
    rm -rf .run/virtualenv
}

make_environment() {
    rm -rf .venv
    "$1" -m venv .venv && return
    rm -rf .venv
    install_venv_package "$1" && "$1" -m venv .venv && return
    rm -rf .venv
    make_virtualenv "$1" && return
    echo "this python has neither venv nor pip: install python3-venv"
    return 1
}

python=$(find_python)
# The path is part of it because a virtual environment does not survive being moved.
stamp=$({ pwd; "$python" --version; cat requirements-dev.lock pyproject.toml shared/verifier/pyproject.toml; } | cksum)
if [ -x .venv/bin/python ] && [ "$(cat .venv/stamp 2>/dev/null)" = "$stamp" ]; then
    exit 0
fi
mkdir -p .run
if ! [ -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >"$log" 2>&1; then
    echo "making the virtual environment with $("$python" --version)"
    quietly make_environment "$python"
fi
echo "installing the dependencies"
quietly .venv/bin/python -m pip install --disable-pip-version-check --require-hashes -r requirements-dev.lock
quietly .venv/bin/python -m pip install --disable-pip-version-check --no-deps --no-build-isolation \
    -e . -e shared/verifier
[ -x .venv/bin/dragoman ] || fail ".venv/bin/dragoman is missing although the project is installed"
echo "$stamp" >.venv/stamp
