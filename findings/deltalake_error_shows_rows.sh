#!/usr/bin/env bash
# deltalake 1.6.6: the text of an error shows the rows that were being written, with every column.
#
# An overwrite by a predicate refuses rows that the predicate does not cover. The DeltaError holds a table of them.
# Seen: DeltaError … Preview of invalid data: | 2026-01-02 | eve@example.com | true |
#
# Why it matters: an exception's text goes to the task's log, to alerts and to all who read them. With personal data in the
# rows it has to be caught and cut; a filter for secrets does not know an e-mail.
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

import pyarrow as pa
from deltalake import write_deltalake
from deltalake.exceptions import DeltaError

write_deltalake("table", pa.table({"day": ["2026-01-01"], "email": ["ann@example.com"]}))
rows = pa.table({"day": ["2026-01-01", "2026-01-02"], "email": ["bob@example.com", "eve@example.com"]})
try:
    write_deltalake("table", rows, mode="overwrite", predicate="day = '2026-01-01'")
except DeltaError as error:
    print(error)
    sys.exit("eve@example.com" not in str(error))
sys.exit(1)
PYTHON
