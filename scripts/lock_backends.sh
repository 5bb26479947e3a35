#!/bin/sh
# Writes src/synthloom/backends/locks/NAME.txt anew out of NAME.in: every package with its hashes, for every platform and
# every Python from 3.10 on. Needs uv (pip install uv). A day per backend keeps to releases that its own was made among:
# what came after it, it has never met.
set -eu
cd "$(dirname "$0")/../src/synthloom/backends/locks"

lock() {  # NAME, the day before which its packages came out
    made=$(mktemp)
    uv pip compile "$1.in" --exclude-newer "$2" --universal --python-version 3.10 --generate-hashes \
        --no-header --no-annotate --quiet --output-file "$made"
    {
        echo "# Made of $1.in by scripts/lock_backends.sh; releases before $2. Every platform, every Python from 3.10 on."
        cat "$made"
    } > "$1.txt"
    rm -f "$made"
}

lock synthcity 2025-07-01
lock sdv 2026-10-20
{
    echo "# The pip that installs the rest."
    echo "pip==25.3" | uv pip compile - --universal --python-version 3.10 --generate-hashes --no-header --no-annotate --quiet
} > pip.txt
