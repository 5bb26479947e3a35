#!/bin/sh
# Finds Chromium for `make test-browser`; on Debian and Ubuntu, as root, installs it. Elsewhere it says what is needed.
set -eu

for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
    if [ -n "$name" ] && command -v "$name" >/dev/null 2>&1; then
        exit 0
    fi
done

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
    echo "Installing Chromium ..."
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium >/dev/null
    command -v chromium >/dev/null 2>&1 && exit 0
fi

echo "The tests of the page need Chromium or Chrome. Install it (Debian: apt-get install chromium; macOS: brew install" >&2
echo "--cask chromium), or name the program in CHROMIUM." >&2
exit 1
