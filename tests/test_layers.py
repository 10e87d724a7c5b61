"""The promises about imports: what a DAG file pays for at parse, and which way imports go."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import airflow_provider_seeany

PACKAGE = Path(airflow_provider_seeany.__file__).parent
ROOT = "airflow_provider_seeany"


def imports(path: Path) -> Iterator[str]:
    """Yield the absolute names that a module imports, inside functions too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.relative_to(PACKAGE.parent).parent.parts
            above = ".".join(package[: len(package) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def modules(folder: str) -> list[Path]:
    found = sorted((PACKAGE / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", modules("api"), ids=lambda path: path.stem)
def test_what_speaks_seeany_knows_nothing_of_airflow(path: Path) -> None:
    upwards = [
        name
        for name in imports(path)
        if name.split(".")[0] == "airflow"
        or (name.startswith(ROOT) and not name.startswith((f"{ROOT}.api", f"{ROOT}.__version__")))
    ]
    assert upwards == []


def test_nothing_of_the_provider_imports_the_simulator() -> None:
    importers = [
        str(path)
        for path in PACKAGE.rglob("*.py")
        if "simulator" not in path.parts and any("simulator" in name for name in imports(path))
    ]
    assert importers == []


@pytest.mark.parametrize("path", modules("simulator"), ids=lambda path: path.stem)
def test_the_simulator_stands_alone(path: Path) -> None:
    others = [
        name
        for name in imports(path)
        if name.split(".")[0] in ("airflow", ROOT) and not name.startswith(f"{ROOT}.simulator")
    ]
    assert others == []


def loaded_by(statement: str, *, after: str = "pass") -> set[str]:
    """Return the modules that a statement loads in a fresh interpreter, after another one."""
    code = f"import sys\n{after}\nbefore = set(sys.modules)\n{statement}\nprint(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_every_airflow_process_loads_the_provider_info_and_nothing_heavy() -> None:
    loaded = loaded_by(f"from {ROOT}.provider_info import get_provider_info; get_provider_info()")

    assert not {name.split(".")[0] for name in loaded} & {"airflow", "requests", "aiohttp", "pendulum", "yarl"}


@pytest.mark.parametrize("module", ["sensors.task", "sensors.batch", "operators.task"])
def test_a_dag_file_loads_no_http_client_and_nothing_that_only_a_running_task_needs(module: str) -> None:
    loaded = loaded_by(
        f"import {ROOT}.{module}",
        after="import airflow.triggers.base\n"
        "from airflow.providers.common.compat.sdk import "
        "AirflowException, AirflowSensorTimeout, BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue",
    )

    assert f"{ROOT}.{module}" in loaded
    assert {name for name in loaded if not name.startswith(ROOT)} == set()
    only_running = (
        "api.task",
        "api.batch",
        "hooks.seeany",
        "triggers.task",
        "triggers.batch",
        "wait.task",
        "exceptions",
    )
    assert not {f"{ROOT}.{name}" for name in only_running} & loaded


@pytest.mark.parametrize(("wait", "other"), [("task", "batch"), ("batch", "task")])
def test_a_worker_loads_what_its_kind_of_wait_needs_and_nothing_of_the_other_kind(wait: str, other: str) -> None:
    loaded = loaded_by(
        f"import {ROOT}.wait.{wait}, {ROOT}.xcoms.record",
        after="from airflow.providers.common.compat.sdk import BaseHook",
    )

    assert f"{ROOT}.triggers.{wait}" in loaded
    of_batches = {"api.batch", "api.poll_queue"} if other == "batch" else set()
    not_needed = {f"triggers.{other}", f"wait.{other}"} | of_batches
    assert not {f"{ROOT}.{name}" for name in not_needed} & loaded


def test_the_plugin_which_every_airflow_process_loads_loads_no_web_framework() -> None:
    loaded = loaded_by(f"import {ROOT}.plugins.seeany", after="import airflow.plugins_manager")

    assert f"{ROOT}.plugins.seeany" in loaded
    assert not {name.split(".")[0] for name in loaded} & {"fastapi", "starlette", "pydantic", "sqlalchemy", "requests"}
    assert not {name for name in loaded if name.startswith((f"{ROOT}.xcoms", f"{ROOT}.web", f"{ROOT}.api"))}
