"""The metadata that Airflow reads without loading the provider: its modules, connection form and options."""

from __future__ import annotations

from typing import Any

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT, DIALECTS
from airflow_provider_seeany.api.request import DEFAULT_BASE_URL, DEFAULT_REQUEST_TIMEOUT

CONNECTION_TYPE: dict[str, Any] = {
    "connection-type": "seeany",
    "hook-class-name": "airflow_provider_seeany.hooks.seeany.SeeAnyHook",
    "hook-name": "SeeAny",
    "ui-field-behaviour": {
        "hidden-fields": ["description", "login", "port", "schema", "extra"],
        "relabeling": {"password": "API Key", "host": "Base URL"},
        "placeholders": {"password": "sk-…", "host": DEFAULT_BASE_URL},
    },
    "conn-fields": {
        "api": {
            "label": "API",
            "description": "The API that your tasks belong to. Ids such as wtask_… are of developer. Empty means v1.",
            # Nullable, because the choice can be emptied.
            "schema": {
                "type": ["string", "null"],
                "default": DEFAULT_DIALECT.name,
                "enum": list(DIALECTS),
                "values_display": {name: dialect.label for name, dialect in DIALECTS.items()},
            },
        },
        "request_timeout": {
            "label": "Request timeout (s)",
            "description": "Timeout of one HTTP request. A timed-out request does not end the wait.",
            # Nullable, because otherwise the form's Save button is disabled while the field is empty.
            "schema": {"type": ["number", "null"], "default": DEFAULT_REQUEST_TIMEOUT, "minimum": 1},
        },
    },
}
"""The connection form, declared only here: Airflow 3.2+ reads it as it is, the hook renders it for 3.1."""

_INTEGRATION = "SeeAny"


def _modules(*names: str) -> list[dict[str, Any]]:
    return [{"integration-name": _INTEGRATION, "python-modules": [f"airflow_provider_seeany.{n}" for n in names]}]


def get_provider_info() -> dict[str, Any]:
    """Return the provider's metadata; the function of the entry point ``apache_airflow_provider``."""
    return {
        "package-name": "airflow-provider-seeany",
        "name": "SeeAny",
        "description": "Waits for asynchronous video and image-set tasks of the SeeAny platform.",
        "integrations": [
            {"integration-name": _INTEGRATION, "external-doc-url": "https://www.seeany.com", "tags": ["service"]}
        ],
        "hooks": _modules("hooks.seeany"),
        "operators": _modules("operators.task", "operators.submit", "operators.budget", "operators.download"),
        "sensors": _modules("sensors.task", "sensors.batch"),
        "triggers": _modules("triggers.task", "triggers.batch"),
        "connection-types": [CONNECTION_TYPE],
        "config": {
            "seeany": {
                "description": "Options of the SeeAny provider.",
                "options": {
                    "worker_free": {
                        "description": "Default of the parameter worker_free: start and end waits in the triggerer "
                        "(Airflow 3.3+). A wait that needs a worker starts in one, and its log has the reason.",
                        "version_added": "1.0.0",
                        "type": "boolean",
                        "example": "True",
                        "default": "False",
                    },
                    "callback_secret": {
                        "description": "Signs the URLs of SeeAnyHook.callback_url: a random text of at least 16 "
                        "characters, the same for the api-server and the workers. Callbacks are off without it. "
                        "To rotate it, list several, separated by commas, spaces or line breaks: the first one signs, "
                        "and URLs signed with any of them are accepted.",
                        "version_added": "1.0.0",
                        "type": "string",
                        "sensitive": True,
                        "example": None,
                        "default": None,
                    },
                    "publish_progress": {
                        "description": "Let waits and downloads publish their progress for the UI as an XCom, at "
                        "most every 10 s. In the triggerer that needs Airflow 3.3.",
                        "version_added": "1.0.0",
                        "type": "boolean",
                        "example": "False",
                        "default": "True",
                    },
                },
            }
        },
        "extra-links": [
            "airflow_provider_seeany.links.task.WatchVideoLink",
            "airflow_provider_seeany.links.task.FirstFileLink",
        ],
    }
