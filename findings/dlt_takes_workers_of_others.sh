#!/usr/bin/env bash
# dlt 1.31.0: an environment variable named just WORKERS, set for something else, makes a pipeline normalize in processes.
#
# `pipeline.run` normalizes in its own process: the argument `workers` of `normalize` is 1. The setting is looked up as
# NORMALIZE__WORKERS and, where that is not there, without its section. So a WORKERS that a container sets for its web server,
# or a shell for make, counts as dlt's, and goes before the 1 of the call. A pipeline within a daemonic process, such as one of
# multiprocessing's pools, then fails, as those may have no children. NORMALIZE__WORKERS=1 next to it is stronger.
# Seen: 'loaded' without WORKERS; 'daemonic processes are not allowed to have children' with WORKERS=4; 'loaded' with both
#
# Why it matters: the same code loads in one place and fails, or takes the memory of four processes, in another, and nothing of
# dlt is set in either.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
unset WORKERS NORMALIZE__WORKERS
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check 'dlt[duckdb]==1.31.0' 2>install.log || { cat install.log; exit 77; }
cat >load.py <<'PYTHON'
import multiprocessing
import sys

import dlt


def load(answers):
    pipeline = dlt.pipeline(sys.argv[1], pipelines_dir="pipelines", destination=dlt.destinations.duckdb(f"{sys.argv[1]}.db"))
    try:
        pipeline.run([{"id": 1}], table_name="people")
        answers.put("loaded")
    except Exception as error:
        while error.__cause__:
            error = error.__cause__
        answers.put(str(error))


if __name__ == "__main__":
    answers = multiprocessing.Queue()
    process = multiprocessing.Process(target=load, args=(answers,), daemon=True)
    process.start()
    print(answers.get(timeout=120))
PYTHON
export RUNTIME__DLTHUB_TELEMETRY=false
alone=$(env/bin/python load.py alone 2>/dev/null)
other=$(WORKERS=4 env/bin/python load.py other 2>/dev/null)
both=$(WORKERS=4 NORMALIZE__WORKERS=1 env/bin/python load.py both 2>/dev/null)
printf '%s\n' "nothing set: $alone" "WORKERS=4: $other" "and NORMALIZE__WORKERS=1: $both"
[[ $alone == loaded && $other == 'daemonic processes are not allowed to have children' && $both == loaded ]]
