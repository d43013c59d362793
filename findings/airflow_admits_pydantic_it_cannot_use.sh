#!/usr/bin/env bash
# apache-airflow-core 3.3.2 admits pydantic 2.11.1 (pydantic>2.11.0), with which `airflow dags …` and its API server do not start.
#
# `airflow dags list` imports the API's models, which call FieldInfo._copy(); pydantic has that method from 2.11.5 on.
# Seen: 2.11.1 -> AttributeError: 'FieldInfo' object has no attribute '_copy'; 2.11.5 -> the same import succeeds
#
# Why it matters: an environment whose other packages hold pydantic back installs without a word, `airflow db migrate` works in
# it, and no DAG can be listed, tested or served. An own lower bound (pydantic>=2.11.5) next to Airflow 3.3 avoids it.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
export AIRFLOW_HOME="$work/home"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check apache-airflow-core==3.3.2 pydantic==2.11.1 2>install.log || { tail -5 install.log; exit 77; }
seen() {
  if env/bin/python -W ignore -c "import airflow.api_fastapi.core_api.datamodels.dags" 2>error.log; then echo imported; else tail -1 error.log; fi
}
old=$(seen)
env/bin/python -m pip install --quiet --disable-pip-version-check pydantic==2.11.5 2>install.log || { tail -5 install.log; exit 77; }
new=$(seen)
echo "pydantic 2.11.1: $old"
echo "pydantic 2.11.5: $new"
[[ $old == "AttributeError: 'FieldInfo' object has no attribute '_copy'" && $new == imported ]]
