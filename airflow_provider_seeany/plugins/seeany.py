"""The plugin: what the api-server serves, and what templates may call. Every Airflow process loads this."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from airflow.providers.common.compat.sdk import AirflowPlugin

from airflow_provider_seeany import DEFAULT_CONN_ID


def callback_url(seeany_conn_id: str = DEFAULT_CONN_ID, **waiting: Any) -> str:
    """Return the URL at which SeeAny rings; ``macros.seeany.callback_url`` in templates. See ``SeeAnyHook``."""
    from airflow_provider_seeany.hooks.seeany import SeeAnyHook

    return SeeAnyHook(seeany_conn_id).callback_url(**waiting)


class SeeAnyPlugin(AirflowPlugin):
    """Adds to Airflow what a provider cannot."""

    name = "seeany"
    macros = [callback_url]  # noqa: RUF012  as the base class has it

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application; made when the api-server asks for it, so that no other process pays for it."""
        from airflow_provider_seeany.callback.url import MOUNTED_AT
        from airflow_provider_seeany.web.app import create_app

        return [{"app": create_app(), "url_prefix": MOUNTED_AT, "name": "SeeAny"}]
