#!/usr/bin/env bash
# pyiceberg 0.12.0: two writers upsert the same new keys, each in one transaction; both succeed, and every row is there twice.
#
# An upsert decides by the snapshot that it read which rows are new. When the other writer was faster, the library retries the
# commit (4 times by default) with the files it has already written, without a look at the keys again. The identifier field
# of the schema does not matter. With the table property commit.retry.num-retries=0 the second writer gets
# CommitFailedException, and can upsert again by the new snapshot.
# Seen: [a, b, a, b] by default; CommitFailedException and [a, b] without retries
#
# Why it matters: a retried task and its predecessor, or a backfill next to the schedule, double events that "upsert" promises
# to keep once.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check 'pyiceberg[sql-sqlite,pyarrow]==0.12.0' 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import pathlib
import sys

import pyarrow as pa
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.schema import Schema
from pyiceberg.types import LongType, NestedField, StringType

here = pathlib.Path.cwd()
arrow = pa.schema([pa.field("key", pa.string(), nullable=False), pa.field("value", pa.int64())])
fields = [NestedField(1, "key", StringType(), required=True), NestedField(2, "value", LongType())]
rows = pa.table({"key": ["a", "b"], "value": [1, 2]}, schema=arrow)


def race(name, properties):
    catalog = SqlCatalog(name, uri=f"sqlite:///{here}/{name}.db", warehouse=f"file://{here}/{name}")
    catalog.create_namespace("n")
    catalog.create_table("n.t", Schema(*fields, identifier_field_ids=[1]), properties=properties)
    first, second = catalog.load_table("n.t"), catalog.load_table("n.t")
    first.upsert(rows)
    try:
        second.upsert(rows)
        outcome = "both succeed"
    except CommitFailedException as error:
        outcome = f"CommitFailedException: {error}"
    keys = catalog.load_table("n.t").scan().to_arrow()["key"].to_pylist()
    print(name, "->", outcome, keys)
    return outcome.partition(":")[0], sorted(keys)


usual = race("usual", {})
without = race("without_retries", {"commit.retry.num-retries": "0"})
sys.exit((usual, without) != (("both succeed", ["a", "a", "b", "b"]), ("CommitFailedException", ["a", "b"])))
PYTHON
