"""What Airflow discovers of this package, by the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider.altcraft import __version__

_PACKAGE: Final = "airflow_provider.altcraft"

FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    # Not `extra`: Airflow 2.11's page then makes no editor of it, and its Test button fails for every type.
    "hidden-fields": ["login", "port", "schema"],
    "relabeling": {"host": "Base URL", "password": "API token"},
    "placeholders": {"host": "https://example.com"},
}

FORM_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "list_id": {
        "label": "Database (list_id)",
        "description": "The profile database that is meant where a task names none.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "timezone": {
        "label": "Time zone of the account",
        "description": "IANA name, such as Europe/Moscow, by which the platform counts days; asks fewer days.",
        "schema": {"type": ["string", "null"]},
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "Seconds that one call may take in all; 60 where empty.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "max_connections": {
        "label": "Connections",
        "description": "Calls under way at once, at most; 16 where empty.",
        "schema": {"type": ["integer", "null"], "minimum": 1},
    },
    "requests_per_second": {
        "label": "Requests per second",
        "description": "Calls that leave in a second, at most, of each task; no limit where empty.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0},
    },
    "outage_timeout": {
        "label": "Outage timeout (seconds)",
        "description": "Seconds without any answer after which a pull gives up; 120 where empty.",
        "schema": {"type": ["number", "null"], "minimum": 0},
    },
    "auth": {
        "label": "Token goes in",
        "description": "The request's body, or an Authorization header (newer installations); the body where empty.",
        "schema": {"type": ["string", "null"], "enum": ["body", "header", None]},
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false, or the path of a file of CA certificates; true where empty.",
        "schema": {"type": ["string", "null"]},
    },
    "proxy": {
        "label": "Proxy",
        "description": "http://user:password@proxy.example.com:3128; the environment's (HTTPS_PROXY) where empty.",
        "schema": {"type": ["string", "null"], "format": "password"},
    },
    "on_missing_profile": {
        "label": "Profile not found",
        "description": "Where the platform answers so by an error: an empty history, or an error; empty where empty.",
        "schema": {"type": ["string", "null"], "enum": ["empty", "error", None]},
    },
}


def get_provider_info() -> dict[str, Any]:
    """The provider's description, by Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-altcraft",
        "name": "Altcraft",
        "description": "Altcraft Platform: profiles' action history into any storage, and waiting for actions.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": "Altcraft",
                "external-doc-url": "https://altcraft.com/",
                "tags": ["service"],
            }
        ],
        "connection-types": [
            {
                "connection-type": "altcraft",
                "hook-class-name": f"{_PACKAGE}.hooks.altcraft.AltcraftHook",
                "hook-name": "Altcraft",
                "ui-field-behaviour": FIELD_BEHAVIOUR,
                "conn-fields": FORM_FIELDS,
            }
        ],
        "hooks": [{"integration-name": "Altcraft", "python-modules": [f"{_PACKAGE}.hooks.altcraft"]}],
        "operators": [
            {
                "integration-name": "Altcraft",
                "python-modules": [f"{_PACKAGE}.operators.events", f"{_PACKAGE}.operators.history"],
            }
        ],
        "sensors": [{"integration-name": "Altcraft", "python-modules": [f"{_PACKAGE}.sensors.action"]}],
        "triggers": [{"integration-name": "Altcraft", "python-modules": [f"{_PACKAGE}.triggers.action"]}],
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
    }
