#!/usr/bin/env bash
# deltalake 1.6.6: of two writers that make the same table with mode="error", both succeed, and the rows of both are there.
#
# `write_deltalake` documents its default mode as an error where the table exists. It looks for the table once, before it
# writes its files; when its commit then finds version 0 taken, it repeats it as version 1, which adds its rows.
# Here the second writer makes the table while the first one's rows are read.
# Seen: no error, version 1, keys ['one', 'two']. With max_commit_retries=0 the first one raises CommitFailedError.
#
# Why it matters: two tasks that start with an empty lake, or a task and its retry that a scheduler took for dead, leave
# each row twice, in success. Give CommitProperties(max_commit_retries=0) to the write that makes a table, and write again.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check deltalake==1.6.6 pyarrow==26.0.1 2>install.log || { cat install.log; exit 77; }
env/bin/python - <<'PYTHON'
import sys
import threading

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError


def make(path, **how):
    first, second = (pa.table({"key": [key]}) for key in ("one", "two"))
    other = threading.Thread(target=write_deltalake, args=(path, second))

    def batches():
        other.start()
        other.join()
        yield from first.to_batches()

    write_deltalake(path, pa.RecordBatchReader.from_batches(first.schema, batches()), mode="error", **how)


make("table")
table = DeltaTable("table")
keys = sorted(table.to_pyarrow_table()["key"].to_pylist())
print("version", table.version(), keys)
if (table.version(), keys) != (1, ["one", "two"]):
    sys.exit(1)
try:
    make("other", commit_properties=CommitProperties(max_commit_retries=0))
except CommitFailedError as error:
    print("once:", type(error).__name__, DeltaTable("other").to_pyarrow_table()["key"].to_pylist())
    sys.exit(0)
sys.exit(1)
PYTHON
