#!/bin/sh
# Make a virtual environment with the first Python >= 3.11 found; say clearly what is missing otherwise.
# Usage: make_venv.sh FOLDER BIN, with PYTHON in the environment to choose the interpreter.
set -eu

folder=$1
bin=$2

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -n "${PYTHON:-}" ]; then
    if ! command -v "$PYTHON" >/dev/null 2>&1; then
        echo "PYTHON=$PYTHON is not a program that can be run." >&2
        exit 1
    fi
    if ! new_enough "$PYTHON"; then
        echo "PYTHON=$PYTHON is $("$PYTHON" --version 2>&1): Synthloom needs Python 3.11 or newer." >&2
        exit 1
    fi
    found=$PYTHON
else
    found=
    for candidate in python3.13 python3.12 python3.11 python3 python; do
        if command -v "$candidate" >/dev/null 2>&1 && new_enough "$candidate"; then
            found=$candidate
            break
        fi
    done
fi

if [ -z "$found" ]; then
    echo "No Python 3.11 or newer was found." >&2
    echo "Install one (Debian/Ubuntu: apt-get install python3 python3-venv; macOS: brew install python@3.13)," >&2
    echo "or name one: make run PYTHON=/path/to/python3.12" >&2
    exit 1
fi

if ! "$found" -c 'import venv, ensurepip' >/dev/null 2>&1; then
    echo "$found has no venv module. Debian/Ubuntu: apt-get install python3-venv" >&2
    echo "or name another interpreter: make run PYTHON=/path/to/python3.12" >&2
    exit 1
fi

if [ -e "$folder" ] && [ ! -e "$folder/.making" ]; then
    # somebody else's environment: use it if it can be used, never remove it
    if new_enough "$bin/python" && "$bin/python" -m pip --version >/dev/null 2>&1; then
        touch "$folder/.made"
        exit 0
    fi
    echo "$folder exists, but has no Python 3.11 or newer with pip in it. Remove it and run make again." >&2
    exit 1
fi

echo "Making $folder with $("$found" --version) ..."
rm -rf "$folder"
mkdir "$folder"
touch "$folder/.making"
"$found" -m venv "$folder"
rm "$folder/.making"
touch "$folder/.made"
