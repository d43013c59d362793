#!/usr/bin/env bash
# openpyxl 3.1.5 (under pandas 3.1.1): two different 17-digit identifiers become one number in the file it writes.
#
# It writes whole numbers with 16 significant digits (1.234567890123457e+16), so the loss is in the file, before Excel has
# seen it. Read back, the column is int64 again, and dtype=str shows digits that were never there. No warning anywhere.
# Seen: [12345678901234567, 12345678901234568] -> [12345678901234570, 12345678901234570] int64
#
# Why it matters: identifiers of a CRM are exported by DataFrame.to_excel and come back as another customer's. Write them
# as text. A cell that holds a number of more than 15 digits is never to be trusted.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check pandas==3.1.1 openpyxl==3.1.5 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import io
import sys
import warnings

import pandas as pd

warnings.simplefilter("ignore")
written = [12345678901234567, 12345678901234568]
file = io.BytesIO()
pd.DataFrame({"id": written}).to_excel(file, index=False, engine="openpyxl")
read = pd.read_excel(file, engine="openpyxl")["id"]
print(written, "->", read.tolist(), read.dtype)
print("dtype=str:", pd.read_excel(file, engine="openpyxl", dtype=str)["id"].tolist())
sys.exit(read.tolist() != [12345678901234570] * 2)
PYTHON
