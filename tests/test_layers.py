"""The promises about imports: which way they go, and what a DAG file pays for at parse."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import airflow_provider_seeany

PACKAGE = Path(airflow_provider_seeany.__file__).parent
ROOT = "airflow_provider_seeany"

ROOMS: list[set[str]] = [
    {"api"},
    {"exceptions"},
    {"outcomes"},
    {"provider_info", "links"},
    {"xcoms"},
    {"metrics", "database"},
    {"callback"},
    {"hooks"},
    {"download"},
    {"lineage"},
    {"triggers", "submit", "budget"},
    {"wait"},
    {"sensors", "operators"},
    {"web"},
    {"plugins"},
]
"""The rooms of the package, bottom to top. A module may import its own room and those of earlier lines."""

Graph = dict[str, set[str]]


def imports(path: Path, package: Path = PACKAGE) -> Iterator[str]:
    """Yield the absolute names that a module imports, also in functions and under ``TYPE_CHECKING``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = path.relative_to(package.parent).parent.parts
            above = ".".join(parents[: len(parents) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, (above, node.module)))
            yield from (f"{module}.{alias.name}" for alias in node.names)


def graph_of(package: Path) -> Graph:
    """Return the modules of the package that each of its modules imports. The simulator stands apart."""
    paths = {
        ".".join(path.relative_to(package).with_suffix("").parts).removesuffix("__init__").rstrip("."): path
        for path in package.rglob("*.py")
        if "simulator" not in path.relative_to(package).parts
    }
    graph: Graph = {}
    for module, path in paths.items():
        own = (name[len(package.name) :].lstrip(".") for name in imports(path, package) if is_in(name, package.name))
        graph[module] = {name if name in paths else name.rpartition(".")[0] for name in own} - {module}
    return graph


def is_in(name: str, parent: str) -> bool:
    return name == parent or name.startswith(f"{parent}.")


def line_of(module: str) -> int:
    """Return the line of a module's room; the package itself, which has the version, is below all."""
    room = module.partition(".")[0]
    return next(number for number, rooms in enumerate([{""}, *ROOMS]) if room in rooms)


def climbing(graph: Graph) -> list[str]:
    """Return the imports against the order of the rooms; rooms of one line do not import each other either."""
    return [
        f"{module} -> {imported}"
        for module, names in sorted(graph.items())
        for imported in sorted(names)
        if module.partition(".")[0] != imported.partition(".")[0] and line_of(imported) >= line_of(module)
    ]


def circle_in(graph: Graph) -> list[str]:
    """Return modules that import each other in a circle, if any do."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def test_every_import_goes_down_the_list_of_rooms() -> None:
    assert climbing(graph_of(PACKAGE)) == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circle_in(graph_of(PACKAGE)) == []


SEEDS = {
    "plain": "from package.{} import name\n",
    "in a function": "def use():\n    from package.{} import name\n",
    "for types": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import package.{}\n",
}
each_seed = pytest.mark.parametrize("seed", SEEDS.values(), ids=SEEDS)


@each_seed
@pytest.mark.parametrize(
    ("module", "imported", "climbs"),
    [("api.task", "hooks.seeany", True), ("links.task", "provider_info", True), ("hooks.seeany", "api.task", False)],
)
def test_a_seeded_import_against_the_order_is_found(
    tmp_path: Path, seed: str, module: str, imported: str, climbs: bool
) -> None:
    write_package(tmp_path, {module: seed.format(imported), imported: ""})

    graph = graph_of(tmp_path / "package")

    assert climbing(graph) == ([f"{module} -> {imported}"] if climbs else [])
    assert circle_in(graph) == []


@each_seed
def test_a_seeded_circle_is_found(tmp_path: Path, seed: str) -> None:
    write_package(tmp_path, {"wait.base": "from .task import name\n", "wait.task": seed.format("wait.base")})

    assert set(circle_in(graph_of(tmp_path / "package"))) == {"wait.base", "wait.task"}


def write_package(folder: Path, sources: dict[str, str]) -> None:
    for module, source in sources.items():
        path = (folder / "package" / module.replace(".", "/")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")


def modules(folder: str) -> list[Path]:
    found = sorted((PACKAGE / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("path", modules("api"), ids=lambda path: path.stem)
def test_the_api_layer_knows_nothing_of_airflow(path: Path) -> None:
    assert [name for name in imports(path) if is_in(name, "airflow")] == []


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
        if name.split(".")[0] in ("airflow", ROOT) and not is_in(name, f"{ROOT}.simulator")
    ]
    assert others == []


def loaded_by(statement: str, *, after: str = "pass") -> set[str]:
    """Return the modules that a statement loads in a fresh interpreter, after another one."""
    (loaded,) = loaded_by_each([statement], after=after)
    return loaded


def loaded_by_each(statements: Sequence[str], *, after: str) -> list[set[str]]:
    """Return the modules that each statement alone loads after another one: in forks, as the other one takes long."""
    done = subprocess.run(
        [sys.executable, "-c", EACH_IN_A_FORK, after, *statements], stdout=subprocess.PIPE, check=True
    )
    return [set(line.split()) for line in done.stdout.decode().splitlines()[-len(statements) :]]


EACH_IN_A_FORK = """
import os, sys
exec(sys.argv[1])
before = set(sys.modules)
for statement in sys.argv[2:]:
    if not (pid := os.fork()):
        exec(statement)
        print(*set(sys.modules) - before, flush=True)
        os._exit(0)
    if os.waitpid(pid, 0)[1]:
        sys.exit(f"{statement} failed")
"""


def test_every_airflow_process_loads_the_provider_info_and_nothing_heavy() -> None:
    loaded = loaded_by(f"from {ROOT}.provider_info import get_provider_info; get_provider_info()")

    assert not {name.split(".")[0] for name in loaded} & {"airflow", "requests", "aiohttp", "pendulum", "yarl"}


OF_A_DAG_FILE = [
    "sensors.task",
    "sensors.batch",
    "operators.task",
    "operators.submit",
    "operators.budget",
    "operators.download",
]


@pytest.fixture(scope="module")
def loaded_by_dag_files() -> dict[str, set[str]]:
    """The modules that a DAG file loads besides Airflow's own, by the module that it imports."""
    loaded = loaded_by_each(
        [f"import {ROOT}.{module}" for module in OF_A_DAG_FILE],
        after="import airflow.triggers.base\n"
        "from airflow.providers.common.compat.sdk import "
        "AirflowException, AirflowSensorTimeout, BaseOperator, BaseOperatorLink, BaseSensorOperator, PokeReturnValue",
    )
    return dict(zip(OF_A_DAG_FILE, loaded, strict=True))


@pytest.mark.parametrize("module", OF_A_DAG_FILE)
def test_a_dag_file_loads_no_http_client_and_nothing_that_only_a_running_task_needs(
    loaded_by_dag_files: dict[str, set[str]], module: str
) -> None:
    loaded = loaded_by_dag_files[module]

    assert f"{ROOT}.{module}" in loaded
    assert {name for name in loaded if not name.startswith(ROOT)} == set()
    only_running = (
        "api.task",
        "api.batch",
        "hooks.seeany",
        "triggers.task",
        "triggers.batch",
        "wait.task",
        "submit.submission",
        "budget.check",
        "download.run",
        "exceptions",
    )
    assert not {f"{ROOT}.{name}" for name in only_running} & loaded


KINDS = ("task", "batch")


@pytest.fixture(scope="module")
def loaded_by_workers() -> dict[str, set[str]]:
    """The modules that a worker loads, by its kind of wait."""
    loaded = loaded_by_each(
        [f"import {ROOT}.wait.{kind}, {ROOT}.xcoms.record" for kind in KINDS],
        after="from airflow.providers.common.compat.sdk import BaseHook",
    )
    return dict(zip(KINDS, loaded, strict=True))


@pytest.mark.parametrize(("wait", "other"), [KINDS, KINDS[::-1]])
def test_a_worker_loads_what_its_kind_of_wait_needs_and_nothing_of_the_other_kind(
    loaded_by_workers: dict[str, set[str]], wait: str, other: str
) -> None:
    loaded = loaded_by_workers[wait]

    assert f"{ROOT}.triggers.{wait}" in loaded
    of_batches = {"api.batch", "api.poll_queue"} if other == "batch" else set()
    not_needed = {f"triggers.{other}", f"wait.{other}"} | of_batches
    assert not {f"{ROOT}.{name}" for name in not_needed} & loaded


def test_the_plugin_which_every_airflow_process_loads_loads_no_web_framework() -> None:
    loaded = loaded_by(f"import {ROOT}.plugins.seeany", after="import airflow.plugins_manager")

    assert f"{ROOT}.plugins.seeany" in loaded
    assert not {name.split(".")[0] for name in loaded} & {"fastapi", "starlette", "pydantic", "sqlalchemy", "requests"}
    assert not {name for name in loaded if name.startswith((f"{ROOT}.xcoms", f"{ROOT}.web", f"{ROOT}.api"))}
