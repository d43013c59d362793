#!/usr/bin/env bash
# msgspec 0.20.0 (any before 0.21): its DecodeError is no ValueError, unlike json's, orjson's and pydantic_core's.
#
# `except ValueError` around msgspec.json.decode() lets a malformed answer through. From 0.21 on it is one.
# Seen: 0.20.0 -> DecodeError is a ValueError: False; 0.21.0 -> True
#
# Why it matters: a proxy's HTML page in place of JSON ends the task instead of being tried again, only where an older msgspec
# is installed, which the tests of a library on the newest one never see.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check msgspec==0.20.0 2>install.log || { cat install.log; exit 77; }
env/bin/python -m pip install --quiet --disable-pip-version-check --target newer msgspec==0.21.0 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import subprocess
import sys

CODE = "import msgspec; print(msgspec.__version__, issubclass(msgspec.DecodeError, ValueError))"
found = [
    subprocess.run([sys.executable, "-c", CODE], env={"PYTHONPATH": path}, capture_output=True, text=True, check=True)
    for path in ("", "newer")
]
lines = [each.stdout.split() for each in found]
print(lines)
sys.exit(lines != [["0.20.0", "False"], ["0.21.0", "True"]])
PYTHON
