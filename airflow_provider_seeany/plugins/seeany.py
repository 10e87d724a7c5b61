"""
The plugin, which every Airflow process loads: the api-server's application, the UI's tab and page, and a macro.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

from airflow.providers.common.compat.sdk import AirflowPlugin, conf
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_seeany import DEFAULT_CONN_ID

log = logging.getLogger(__name__)

# With the path of [api] base_url: Airflow 3.1 imports the module by this very text, and takes one without a slash at
# its beginning for the name of a package.
_STATIC = f"{urlsplit(conf.get('api', 'base_url', fallback='')).path.rstrip('/')}/seeany/static"


def callback_url(seeany_conn_id: str = DEFAULT_CONN_ID, **called_back: Any) -> str:
    """Return ``SeeAnyHook.callback_url``; ``macros.seeany.callback_url`` in templates."""
    from airflow_provider_seeany.hooks.seeany import SeeAnyHook

    return SeeAnyHook(seeany_conn_id).callback_url(**called_back)


def _runs(component: str) -> bool:
    """Return whether this process is a component of Airflow, or was forked by it."""
    return f"airflow.cli.commands.{component}_command" in sys.modules


@contextmanager
def _warned(consequence: str) -> Iterator[None]:
    """Log what it means that something failed, instead of raising it: Airflow would load no plugin of this package."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %r", consequence, error)


class SeeAnyPlugin(AirflowPlugin):
    """Adds to Airflow what a provider cannot."""

    name = "seeany"
    macros = [callback_url]  # noqa: RUF012  as the base class has it

    # One module for both. They are made of Chakra UI, which Airflow 3.1 does not share with plugins.
    react_apps = [  # noqa: RUF012
        {
            "name": "SeeAny",
            "bundle_url": f"{_STATIC}/seeany.js",
            "icon": f"{_STATIC}/icon.svg",
            "icon_dark_mode": f"{_STATIC}/icon-dark.svg",
            **destination,
        }
        for destination in (
            {"url_route": "seeany-result", "destination": "task_instance"},
            {"url_route": "seeany", "destination": "nav", "category": "browse"},
        )
        if AIRFLOW_V_3_2_PLUS
    ]

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        """Prepare what the processes need that this one forks: a triggerer's in-process API, and imports."""
        # Not by a listener: as soon as there is one, Airflow rejects every DAG that uses `end_from_trigger`.
        if _runs("triggerer"):
            # Where the internals of this Airflow differ, it builds the API in its loop.
            with _warned("The triggerer's in-process API cannot be built in advance, and SeeAny waits end in workers"):
                from airflow_provider_seeany.triggers import supervisor, supervisor_api

                # First, as triggers end no task without it.
                supervisor.prepare()
                supervisor_api.prepare()
        if _runs("scheduler"):
            with _warned("Each worker imports the provider anew"):
                from airflow_provider_seeany.plugins.preload import preload_for_workers

                preload_for_workers()
        if _runs("dag_processor"):
            with _warned("The provider is imported anew for each DAG file"):
                from airflow_provider_seeany.plugins.preload import preload_for_dag_files

                preload_for_dag_files()

    @cached_property
    def fastapi_apps(self) -> list[dict[str, Any]]:  # type: ignore[override]
        """The application, created when the api-server reads this, so that no other process imports it."""
        from airflow_provider_seeany.callback.url import MOUNTED_AT
        from airflow_provider_seeany.web.app import create_app

        return [{"app": create_app(), "url_prefix": MOUNTED_AT, "name": "SeeAny"}]
