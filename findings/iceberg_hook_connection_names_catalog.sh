#!/usr/bin/env bash
# apache-airflow-providers-apache-iceberg 2.1.2 over pyiceberg 0.12.0: the id of the connection decides which tables there are.
#
# IcebergHook loads the catalog under the connection's id, and a catalog in a SQL database keeps its tables under the catalog's
# name. A second connection with the very same settings sees an empty catalog: no error, test_connection() succeeds with
# "Found 0 namespace(s)". A table made by it under the same name is another table, with its files in the same folder. Nothing in
# the connection can name the catalog: extra {"name": ...} makes load_catalog() fail.
# Seen: 'lake_prod' -> [('n',)] and 3 rows; 'lake_copy' -> [] and "Connected. Found 0 namespace(s)."; two tables, one location
#
# Why it matters: renaming a connection, or one id for each team, hides every table, and a task that makes what is missing goes
# on in success with an empty one next to it.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check apache-airflow==3.3.2 apache-airflow-providers-apache-iceberg==2.1.2 'pyiceberg[sql-sqlite,pyarrow]==0.12.0' 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import json
import logging
import os
import pathlib
import sys

here = pathlib.Path.cwd()
os.environ["AIRFLOW_HOME"] = str(here)
settings = {"type": "sql", "uri": f"sqlite:///{here}/catalog.db", "warehouse": f"file://{here}/warehouse"}
for conn_id in ("lake_prod", "lake_copy"):
    os.environ[f"AIRFLOW_CONN_{conn_id.upper()}"] = json.dumps({"conn_type": "iceberg", "extra": settings})
os.environ["AIRFLOW_CONN_LAKE_NAMED"] = json.dumps({"conn_type": "iceberg", "extra": settings | {"name": "lake_prod"}})

import pyarrow as pa
from airflow.providers.apache.iceberg.hooks.iceberg import IcebergHook

logging.disable(logging.CRITICAL)
first, second = IcebergHook("lake_prod"), IcebergHook("lake_copy")
rows = pa.table({"n": [1, 2, 3]})
first.catalog.create_namespace("n")
first.catalog.create_table("n.t", rows.schema).append(rows)
seen = (first.catalog.list_namespaces(), first.load_table("n.t").scan().count())
said = (second.catalog.list_namespaces(), second.test_connection())
second.catalog.create_namespace("n")
other = second.catalog.create_table("n.t", rows.schema)
places = {first.load_table("n.t").location(), other.location()}
counts = [hook.load_table("n.t").scan().count() for hook in (first, second)]
try:
    IcebergHook("lake_named").catalog
    named = "loaded"
except TypeError as error:
    named = f"TypeError: {error}"
print("lake_prod", *seen)
print("lake_copy", *said)
print("rows", *counts, "in", len(places), "location")
print(named)
expected = (
    seen == ([("n",)], 3)
    and said == ([], (True, "Connected. Found 0 namespace(s)."))
    and counts == [3, 0]
    and len(places) == 1
    and named.startswith("TypeError")
)
sys.exit(0 if expected else 1)
PYTHON
