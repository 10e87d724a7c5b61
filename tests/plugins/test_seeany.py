"""The plugin, as Airflow's processes load it."""

from __future__ import annotations

import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace

import pytest
from airflow.executors.base_executor import BaseExecutor
from airflow.executors.executor_loader import ExecutorLoader
from airflow.executors.local_executor import LocalExecutor
from airflow.plugins_manager import AirflowPlugin
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS

from airflow_provider_seeany.plugins import preload
from airflow_provider_seeany.plugins.seeany import SeeAnyPlugin
from airflow_provider_seeany.triggers import supervisor_api
from tests.test_layers import OF_A_DAG_FILE, ROOT, loaded_by, loaded_by_each


def test_airflow_finds_the_plugin() -> None:
    (found,) = entry_points(group="airflow.plugins", name="seeany")

    assert found.load() is SeeAnyPlugin
    SeeAnyPlugin.validate()
    assert [macro.__name__ for macro in SeeAnyPlugin.macros] == ["callback_url"]


def test_tab_and_page_are_offered_to_an_airflow_that_can_draw_them() -> None:
    assert [app["destination"] for app in SeeAnyPlugin.react_apps] == (
        ["task_instance", "nav"] if AIRFLOW_V_3_2_PLUS else []
    )


def test_every_airflow_process_loads_the_plugin_and_nothing_of_the_web() -> None:
    loaded = loaded_by(
        "from airflow_provider_seeany.plugins.seeany import SeeAnyPlugin as P; P.on_load(); P().macros",
        after="import airflow.plugins_manager\nfrom airflow.providers.common.compat.sdk import AirflowPlugin",
    )

    assert {name for name in loaded if not name.startswith("airflow_provider_seeany")} == set()
    assert not {
        name for name in loaded if ".web" in name or ".callback" in name or ".hooks" in name or ".triggers" in name
    }


class Remote(BaseExecutor):
    """An executor that forks nothing here."""


class OwnLocal(LocalExecutor):
    """A LocalExecutor that somebody has changed."""


@pytest.fixture
def imported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is imported into a scheduler in advance."""
    names: list[str] = []
    monkeypatch.setitem(sys.modules, "airflow.cli.commands.scheduler_command", ModuleType("scheduler_command"))
    monkeypatch.setattr(preload, "import_module", names.append)
    return names


@pytest.mark.parametrize(
    ("executors", "start_method", "preloads"),
    [
        ([LocalExecutor], "fork", True),
        ([Remote, LocalExecutor], "fork", True),
        ([OwnLocal], "fork", True),
        ([LocalExecutor], "spawn", False),
        ([Remote], "fork", False),
    ],
)
def test_only_a_scheduler_that_forks_its_workers_imports_what_they_need(
    monkeypatch: pytest.MonkeyPatch, imported: list[str], executors: list[type], start_method: str, preloads: bool
) -> None:
    names = [
        SimpleNamespace(module_path=f"{each.__module__}.{each.__name__}", connector_source=None) for each in executors
    ]
    monkeypatch.setattr(ExecutorLoader, "get_executor_names", lambda: names)
    monkeypatch.setattr("multiprocessing.get_start_method", lambda: start_method)

    SeeAnyPlugin.on_load()

    assert ("airflow_provider_seeany.wait.task" in imported) == preloads
    assert all(find_spec(name) for name in imported)


# Airflow itself imports only modules of its own in advance.
def test_what_dag_files_import_of_the_provider_is_imported_once_by_the_dag_processor() -> None:
    loaded = loaded_by_each(
        [f"import {ROOT}.{module}" for module in (*OF_A_DAG_FILE, "wait.templates")],
        after="import airflow.cli.commands.dag_processor_command, airflow.jobs.job\n"
        "airflow.jobs.job.get_listener_manager()",
    )

    assert set().union(*loaded) == set()


def test_dags_of_others_may_use_what_airflow_refuses_beside_listeners() -> None:
    # Airflow imports no DAG with `end_from_trigger=True` while any plugin has a listener, whatever it listens to.
    assert SeeAnyPlugin().listeners == []


def test_only_the_api_server_makes_the_application() -> None:
    plugin: AirflowPlugin = SeeAnyPlugin()

    (served,) = plugin.fastapi_apps
    assert served["url_prefix"] == "/seeany"
    assert plugin.fastapi_apps[0]["app"] is served["app"]


def test_a_scheduler_with_other_insides_loads_the_plugin_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, imported: list[str]
) -> None:
    monkeypatch.delattr(ExecutorLoader, "get_executor_names")

    SeeAnyPlugin.on_load()

    assert imported == []
    (line,) = caplog.records
    assert "get_executor_names" in line.getMessage()


def test_a_triggerer_with_other_insides_loads_the_plugin_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "airflow.cli.commands.triggerer_command", ModuleType("triggerer_command"))
    monkeypatch.setitem(sys.modules, "airflow.jobs.triggerer_job_runner", ModuleType("triggerer_job_runner"))
    monkeypatch.setattr("airflow.jobs.triggerer_job_runner", ModuleType("triggerer_job_runner"), raising=False)
    monkeypatch.setattr(supervisor_api, "_builder", None)

    SeeAnyPlugin.on_load()

    (line,) = caplog.messages
    assert "SeeAny waits end in workers" in line
    assert "TriggerRunnerSupervisor" in line
