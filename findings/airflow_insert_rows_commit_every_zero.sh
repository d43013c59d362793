#!/usr/bin/env bash
# apache-airflow-providers-common-sql 2.4.0 (with Airflow 3.3.2): insert_rows(commit_every=0) inserts nothing, in success.
#
# The documentation of the argument says that 0 means all rows in one transaction. With executemany=True (the default of hooks
# such as PostgresHook) the rows are cut into chunks of that size, and chunks of 0 rows are no chunks: no statement is sent,
# and the log says that 0 rows were loaded. commit_every=None does what 0 promises.
# Seen: commit_every=0 -> 0 rows, None -> 5 rows, 1000 -> 5 rows
#
# Why it matters: who wants one transaction, so that a failure leaves nothing half-written, gets an empty table and a green task.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check apache-airflow==3.3.2 apache-airflow-providers-common-sql==2.4.0 apache-airflow-providers-sqlite==4.3.4 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import json
import logging
import os
import pathlib
import sys

os.environ["AIRFLOW_HOME"] = str(pathlib.Path.cwd())
os.environ["AIRFLOW_CONN_LITE"] = json.dumps({"conn_type": "sqlite", "host": str(pathlib.Path.cwd() / "rows.db")})

from airflow.providers.sqlite.hooks.sqlite import SqliteHook

logging.disable(logging.CRITICAL)
hook = SqliteHook("lite")
found = {}
hook.run("CREATE TABLE numbers (n INTEGER)")
for every in (0, None, 1000):
    hook.run("DELETE FROM numbers")
    rows = [(number,) for number in range(5)]
    hook.insert_rows("numbers", rows, target_fields=["n"], commit_every=every, executemany=True)
    found[every] = hook.get_first("SELECT count(*) FROM numbers")[0]
for every, count in found.items():
    print(f"commit_every={every} -> {count} rows")
sys.exit(found != {0: 0, None: 5, 1000: 5})
PYTHON
