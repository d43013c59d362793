#!/usr/bin/env bash
# pyarrow 20.0.0 (any before 21): an IPC stream gives other texts back where a string array's first offset is not 0.
#
# Several columns may share one data buffer and one buffer of offsets: Array.from_buffers() with offsets.slice() makes such a
# column without a copy, and validate(full=True) accepts it. Where more bytes follow its last text, the IPC writer cuts the data
# to the column's own and leaves the offsets as they were. Reading back is a success, with a neighbour's values.
# Seen: 20.0.0 -> 'bbb' is read back as 'ccc'; 21.0.0 -> 'bbb'
#
# Why it matters: rows put aside on disk or sent between processes in Arrow's own format change without an error, only with an
# older pyarrow than the one that is developed on. Array.slice() of one whole array is written right by both.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
for pin in pyarrow==20.0.0 pyarrow==21.0.0; do
  env/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --target "${pin#*==}" "$pin" 2>install.log || { cat install.log; exit 77; }
done
cat >seen.py <<'PYTHON'
import struct

import pyarrow as pa

offsets = pa.py_buffer(struct.pack("4i", 0, 100, 200, 300))
data = pa.py_buffer(b"a" * 100 + b"b" * 100 + b"c" * 100)
column = pa.Array.from_buffers(pa.string(), 1, [None, offsets.slice(4), data])
column.validate(full=True)
batch = pa.record_batch([column], names=["text"])
sink = pa.BufferOutputStream()
with pa.ipc.new_stream(sink, batch.schema) as writer:
    writer.write_batch(batch)
found = pa.ipc.open_stream(sink.getvalue()).read_next_batch()
found.validate(full=True)
print(pa.__version__, *(each.column(0)[0].as_py()[:3] for each in (batch, found)))
PYTHON
old=$(PYTHONPATH=20.0.0 env/bin/python seen.py)
new=$(PYTHONPATH=21.0.0 env/bin/python seen.py)
echo "$old"
echo "$new"
[[ $old == "20.0.0 bbb ccc" && $new == "21.0.0 bbb bbb" ]]
