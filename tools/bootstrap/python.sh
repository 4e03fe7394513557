#!/bin/sh
# Prints the newest Python 3.11+ of this machine that can make an environment and run the platform.
# A name on PATH proves nothing (version managers put dead shims there), so each candidate is run.
probe='import sys, venv, ssl, sqlite3, ctypes; sys.exit(sys.version_info < (3, 11))'
for name in "$PYTHON" python3.16 python3.15 python3.14 python3.13 python3.12 python3.11 python3; do
    [ -n "$name" ] || continue
    found=$(command -v "$name" 2>/dev/null) || continue
    if "$found" -c "$probe" >/dev/null 2>&1; then
        echo "$found"
        exit 0
    fi
done
echo "Modelyard needs Python 3.11 or newer (with ssl and sqlite3) and found none on PATH." >&2
echo "Debian 12 and Ubuntu 24.04: apt install python3. Elsewhere: name one with  make install PYTHON=/path/to/python3" >&2
exit 1
