#!/usr/bin/env bash
# pandas 3.1.1 and polars 2.1.0 read different 16-digit hexadecimal identifiers of a CSV as the one number 0.
#
# "00000000000000e1" is hexadecimal, but also zero times ten to the power of 1. Where every value of a column (or of the
# rows that are looked at) is made of digits with one "e" in it, the column becomes floating-point, and the values are gone.
# Seen: ['00000000000000e1', '0000000000000e10', '000000000000e100'] -> [0.0, 0.0, 0.0] by pandas and
#       polars; DuckDB 2.0.0 keeps the three texts
#
# Why it matters: profiles' hashes (xxh) and other keys from a small extract are joined on 0.0: every row matches every row.
# Declare such columns as text.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check pandas==3.1.1 polars==2.1.0 duckdb==2.0.0 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import pathlib
import sys

import duckdb
import pandas as pd
import polars as pl

hashes = ["00000000000000e1", "0000000000000e10", "000000000000e100"]
pathlib.Path("a.csv").write_text("\n".join(["xxh", *hashes, ""]))
found = {
    "pandas": pd.read_csv("a.csv")["xxh"].tolist(),
    "polars": pl.read_csv("a.csv")["xxh"].to_list(),
    "duckdb": [row[0] for row in duckdb.connect().execute("SELECT xxh FROM read_csv('a.csv')").fetchall()],
}
for name, each in found.items():
    print(name, hashes, "->", each)
merged = [0.0, 0.0, 0.0]
sys.exit(found != {"pandas": merged, "polars": merged, "duckdb": hashes})
PYTHON
