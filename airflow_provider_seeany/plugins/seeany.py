"""
The plugin: what the api-server serves, the UI's tab and page, and what templates may call.

Every Airflow process loads this.
"""

from __future__ import annotations

import logging
import sys
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_seeany import DEFAULT_CONN_ID

log = logging.getLogger(__name__)

# With the path prefix of an Airflow that has one: 3.1 imports the module by this very text, and takes one without a
# slash at its beginning for the name of a package.
_STATIC = f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}/seeany/static"


def callback_url(seeany_conn_id: str = DEFAULT_CONN_ID, **waiting: Any) -> str:
    """Return the URL at which SeeAny rings; ``macros.seeany.callback_url`` in templates. See ``SeeAnyHook``."""
    from airflow_provider_seeany.hooks.seeany import SeeAnyHook

    return SeeAnyHook(seeany_conn_id).callback_url(**waiting)


class SeeAnyPlugin(AirflowPlugin):
    """Adds to Airflow what a provider cannot."""

    name = "seeany"
    macros = [callback_url]  # noqa: RUF012  as the base class has it

    # Both have one name and one module: it tells by the task it is given which of them it is. Airflow 3.1 shares no
    # Chakra UI with plugins, of which both are made.
    react_apps = [  # noqa: RUF012
        {
            "name": "SeeAny",
            "bundle_url": f"{_STATIC}/seeany.js",
            "icon": f"{_STATIC}/icon.svg",
            "icon_dark_mode": f"{_STATIC}/icon-dark.svg",
            **place,
        }
        for place in (
            {"url_route": "seeany-result", "destination": "task_instance"},
            {"url_route": "seeany", "destination": "nav", "category": "browse"},
        )
        if AIRFLOW_V_3_2_PLUS
    ]

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Let a triggerer build what it needs for waits beside its work. Every other process goes on at once."""
        # Not by a listener: as soon as there is one, Airflow refuses every DAG that uses `end_from_trigger`.
        if "airflow.cli.commands.triggerer_command" in sys.modules:
            from airflow_provider_seeany.triggers.supervisor_api import prepare

            try:
                prepare()
            except Exception as error:
                # An Airflow that has other insides; it then builds in its loop, which takes longer.
                log.warning("What waits need of Airflow's database cannot be built in advance: %r", error)

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application; made when the api-server asks for it, so that no other process pays for it."""
        from airflow_provider_seeany.callback.url import MOUNTED_AT
        from airflow_provider_seeany.web.app import create_app

        return [{"app": create_app(), "url_prefix": MOUNTED_AT, "name": "SeeAny"}]
