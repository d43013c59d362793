#!/usr/bin/env bash
# Airflow 3.3.2: `airflow connections import` reads a .env file that `export --serialization-format json` wrote as URIs, and
# stores connections that lead nowhere, in success.
#
# The same JSON as the value of an AIRFLOW_CONN_ variable is a whole connection, and a .json or .yaml file of the export comes
# back as it was. From .env, each value is a URI to the import: `{"conn_type": …}` has no scheme and no host, so type and host
# are empty, and the JSON without its first brace is the connection's schema. Both commands exit with 0 and name the connection.
# Seen: conn_type '' and host '' after the import; 'http' and 'crm.example' before it, and by --serialization-format uri
#
# Why it matters: connections move so from one Airflow to another, or into a container's environment file. The first task then
# fails for a connection type that nobody chose.
#
# Exit: 0 as described, 1 the behaviour has changed, 77 the packages cannot be installed.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv env || exit 77
env/bin/python -m pip install --quiet --disable-pip-version-check 'apache-airflow==3.3.2' 2>install.log || { cat install.log; exit 77; }
export AIRFLOW_HOME="$work/airflow" AIRFLOW__CORE__LOAD_EXAMPLES=False
airflow() { env/bin/python -W ignore -m airflow "$@" 2>>airflow.log; }
fields() {
  airflow connections get crm -o json | env/bin/python -c "
import json, sys
(found,) = json.loads(sys.stdin.readlines()[-1])
print(repr(found['conn_type'] or ''), repr(found['host'] or ''))"
}
airflow db migrate >/dev/null
airflow connections add crm --conn-json '{"conn_type": "http", "host": "crm.example"}' >/dev/null
before=$(fields)
for form in uri json; do
  airflow connections export "$form.env" --file-format env --serialization-format "$form" >/dev/null
done
for form in uri json; do
  airflow connections delete crm >/dev/null
  airflow connections import "$form.env" >/dev/null
  declare "$form=$(fields)"
done
echo "before: $before; exported as URIs and imported: $uri; exported as JSON and imported: $json"
[[ $before == "'http' 'crm.example'" && $uri == "$before" && $json == "'' ''" ]]
