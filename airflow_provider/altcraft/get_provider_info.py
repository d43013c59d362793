"""The provider's metadata, which Airflow discovers by the entry point ``apache_airflow_provider``."""

from __future__ import annotations

from typing import Any, Final

from airflow_provider.altcraft import __version__

_PACKAGE: Final = "airflow_provider.altcraft"


def _choice(unset: str, **words: str) -> dict[str, Any]:
    """Return a field's schema with what may be chosen and the words that Airflow 3.2 and later show for it."""
    return {
        "type": ["string", "null"],
        "enum": [None, *words],
        "values_display": {"null": unset} | words,
    }


FIELD_BEHAVIOUR: Final[dict[str, Any]] = {
    # Not `extra`: Airflow 2.11's page then makes no editor of it, and its Test button fails for every type. Not `port`:
    # the Test button of Airflow 3.3.2 is refused where the stored connection has none (apache/airflow#73298).
    "hidden-fields": ["login", "schema"],
    # Airflow marks and explains no standard field by itself, so label and placeholder do.
    "relabeling": {"host": "Base URL *", "password": "API token *", "port": "Port (for the Test button)"},
    "placeholders": {
        "host": "https://example.com",
        "password": "a token of the API",
        "port": "443 or the URL's",
    },
}

# On Airflow 3.2 and later each section folds; one is open at a time.
_DATABASE: Final = {"section": "Database"}
_CALLS: Final = {"section": "Calls: limits, TLS, proxy"}
_LINKS: Final = {"section": "Links to the platform"}

FORM_FIELDS: Final[dict[str, dict[str, Any]]] = {
    "list_id": {
        # No plain mark: a connection without it is whole where tasks name their database.
        "label": "Database (list_id) * unless each task names one",
        "description": "Number of the profile database for tasks that name none; the connection test "
        "lists those that the token sees.",
        "schema": {"type": ["integer", "null"], "minimum": 1} | _DATABASE,
    },
    "timezone": {
        "label": "Time zone of the account",
        "description": "IANA name, such as Europe/Moscow, by which the platform counts days; asks fewer days.",
        "schema": {"type": ["string", "null"]} | _DATABASE,
    },
    "timeout": {
        "label": "Timeout (seconds)",
        "description": "Seconds that one call may take in all; 60 where empty.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0} | _CALLS,
    },
    "max_connections": {
        "label": "Connections",
        "description": "Calls under way at once, at most; 16 where empty.",
        "schema": {"type": ["integer", "null"], "minimum": 1} | _CALLS,
    },
    "requests_per_second": {
        "label": "Requests per second",
        "description": "Calls that leave in a second, at most, of each task; no limit where empty.",
        "schema": {"type": ["number", "null"], "exclusiveMinimum": 0} | _CALLS,
    },
    "outage_timeout": {
        "label": "Outage timeout (seconds)",
        "description": "Seconds without any answer after which a pull gives up; 120 where empty.",
        "schema": {"type": ["number", "null"], "minimum": 0} | _CALLS,
    },
    "auth": {
        "label": "Token goes in",
        "description": "body, the request's body, or header, an Authorization header (newer installations); body "
        "where nothing is chosen.",
        "schema": _choice("not set: the request's body", body="the request's body", header="an Authorization header")
        | _CALLS,
    },
    "verify": {
        "label": "Verify TLS",
        "description": "true, false, or the path of a file of CA certificates; true where empty.",
        "schema": {"type": ["string", "null"]} | _CALLS,
    },
    "proxy": {
        "label": "Proxy",
        "description": "http://user:password@proxy.example.com:3128; the environment's (HTTPS_PROXY) where empty.",
        "schema": {"type": ["string", "null"], "format": "password"} | _CALLS,
    },
    "on_missing_profile": {
        "label": "Profile not found",
        "description": "Where the platform answers so by an error: empty, an empty history, or error; empty where "
        "nothing is chosen.",
        "schema": _choice("not set: an empty history", empty="an empty history", error="an error") | _DATABASE,
    },
    "profile_url": {
        "label": "Address of a profile",
        "description": "For a link on a sensor's page: https://example.com/…/{profile_id}; also {xxh}, {list_id}.",
        "schema": {"type": ["string", "null"]} | _LINKS,
    },
    "campaign_url": {
        "label": "Address of a campaign",
        "description": "For a link on a sensor's page: https://example.com/…/{campaign_id}.",
        "schema": {"type": ["string", "null"]} | _LINKS,
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, by Airflow's ``provider_info.schema.json``."""
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
        "extra-links": [f"{_PACKAGE}.hooks.links.{name}Link" for name in ("Output", "Profile", "Campaign", "Docs")],
        "config": {
            "altcraft": {
                "description": "Settings of the provider of the Altcraft Platform.",
                "options": {
                    "docs_url": {
                        "description": "Where you have published this provider's documentation (`make docs`), for a "
                        "link on each of its tasks. Without it there is none.",
                        "version_added": "0.1.0",
                        "type": "string",
                        "example": "https://docs.example.com/altcraft",
                        "default": "",
                    }
                },
            }
        },
        "cli": [f"{_PACKAGE}.cli.definition.get_cli_commands"],
    }
