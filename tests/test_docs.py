"""
The documentation: its links lead somewhere, both languages have the same content, the tables of errors have every error
and whether it is retried, the log lines that they quote are those of the code, and what is there to copy works.
"""

from __future__ import annotations

import ast
import json
import re
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_seeany import exceptions
from airflow_provider_seeany.exceptions import SeeAnyError
from airflow_provider_seeany.operators.budget import SeeAnyBudgetOperator
from airflow_provider_seeany.operators.download import SeeAnyDownloadOperator
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.provider_info import get_provider_info
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator
from tests.waits import starts_triggers

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
RETRIED = {"errors.md": {"yes": True, "never": False}, "errors.zh.md": {"是": True, "从不": False}}

PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md")])
TWINS = [
    (page, page.with_name(f"{page.stem}.zh.md")) for page in PAGES if page.with_name(f"{page.stem}.zh.md").exists()
]

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)
_TABLE_ROW = re.compile(r"^\|.+\|$", re.MULTILINE)
_CODE_BLOCK = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r" *#.*$", re.MULTILINE)


def raised() -> dict[str, bool]:
    """Return the name of every exception, and whether Airflow retries it."""
    kinds = [kind for kind in vars(exceptions).values() if isinstance(kind, type) and issubclass(kind, SeeAnyError)]
    return {kind.__name__: not issubclass(kind, AirflowFailException | AirflowSensorTimeout) for kind in kinds}


@pytest.mark.parametrize("name", RETRIED)
def test_every_error_that_a_user_can_meet_is_explained(name: str) -> None:
    rows = re.findall(r"^\| `(SeeAny\w+)` \|.*?\| (\S+) \|[^|]+\|$", (DOCS / name).read_text(), re.MULTILINE)

    assert {kind: RETRIED[name][word] for kind, word in rows} == raised()


LOG_LINES_OF_AIRFLOW = {"Trigger cancelled by user action, invoking on_kill", "XCom not found … _seeany_wait_…"}
_LOG_LINES = re.compile(r"^## (?:Log lines|日志)$(.*)", re.MULTILINE | re.DOTALL)
_QUOTED = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)
_FILLED_IN = re.compile(r"…|\d+(?: %)?|: processing|, so ")


@pytest.mark.parametrize("name", ["errors.md", "errors.zh.md", "callback.md", "callback.zh.md"])
def test_the_log_lines_that_are_explained_are_those_of_the_code(name: str) -> None:
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "airflow_provider_seeany").rglob("*.py"))
    texts = (node.value for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    code = "\n".join(text for text in texts if isinstance(text, str))
    (section,) = _LOG_LINES.findall((DOCS / name).read_text("utf-8"))
    quoted = set(_QUOTED.findall(section)) - LOG_LINES_OF_AIRFLOW

    assert quoted
    for line in quoted:
        assert [part for part in _FILLED_IN.split(line) if part.strip(" ,;") not in code] == [], line


def _anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub forms them."""
    headings = _HEADING.findall(_CODE_BLOCK.sub("", page.read_text("utf-8")))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_within_the_repository_lead_somewhere(page: Path) -> None:
    broken = []
    for link in _LINK.findall(page.read_text("utf-8")):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize(("english", "chinese"), TWINS, ids=lambda page: page.name)
def test_both_languages_have_the_same_content(english: Path, chinese: Path) -> None:
    """The same chapters, the same rows in tables and the same code; the words are for people to compare."""
    contents = [
        {
            "chapters": [heading.count("#") for heading in re.findall(r"^#+", text, re.MULTILINE)],
            "rows": [row.count("|") for row in _TABLE_ROW.findall(text)],
            "code": [_COMMENT.sub("", block) for block in _CODE_BLOCK.findall(text)],
        }
        for text in (page.read_text("utf-8") for page in (english, chinese))
    ]
    assert contents[0] == contents[1]


def test_every_page_of_the_documentation_is_there_in_chinese() -> None:
    english = {page for page in DOCS.glob("*.md") if not page.stem.endswith(".zh")} | {ROOT / "README.md"}
    assert {page for page, _ in TWINS} == english


@pytest.mark.parametrize("name", ["README.md", "README.zh.md"])
def test_the_readme_is_read_in_a_few_minutes(name: str) -> None:
    assert len((ROOT / name).read_text("utf-8").split()) <= 900


def blocks(language: str, *pages: Path) -> list[Any]:
    """Return the code blocks of a language, each as a test's parameter with the page's name as its id."""
    code = re.compile(rf"^```{language}\n(.*?)^```", re.MULTILINE | re.DOTALL)
    return [pytest.param(block, id=page.name) for page in pages for block in code.findall(page.read_text("utf-8"))]


DAGS = [block for block in blocks("python", *PAGES) if "@dag(" in block.values[0]]
(README_DAG,) = (block for block in DAGS if block.id == "README.md")


def made_dag(block: str) -> Any:
    """Run a DAG file; return the DAG that its last line makes."""
    *lines, last = ast.parse(block).body
    assert isinstance(last, ast.Expr)
    names: dict[str, Any] = {}
    exec(compile(ast.Module(lines, []), "<docs>", "exec"), names)
    return eval(compile(ast.Expression(last.value), "<docs>", "eval"), names)


@pytest.mark.parametrize("block", DAGS)
def test_a_dag_that_is_shown_can_be_parsed(block: str) -> None:
    assert made_dag(block).tasks


def test_the_dag_of_the_readme_needs_no_parameter() -> None:
    """As `airflow tasks test` gives none."""
    assert made_dag(README_DAG.values[0]).params.validate() == {"seeany_task_id": "video-20s"}


@starts_triggers
def test_the_dag_of_the_readme_needs_no_worker_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__SEEANY__WORKER_FREE", "True")

    assert made_dag(README_DAG.values[0]).get_task("wait").start_from_trigger


@pytest.mark.parametrize("name", ["reference.md", "reference.zh.md"])
def test_the_reference_has_every_public_class(name: str) -> None:
    info = get_provider_info()
    modules = [
        import_module(module)
        for kind in ("sensors", "operators", "hooks")
        for group in info[kind]
        for module in group["python-modules"]
    ]
    public = {
        f"{module.__name__}.{thing.__name__}"
        for module in modules
        for thing in vars(module).values()
        if isinstance(thing, type) and thing.__module__ == module.__name__ and thing.__name__.startswith("SeeAny")
    }
    listed = re.findall(r"^::: (\S+)$", (DOCS / name).read_text("utf-8"), re.MULTILINE)

    assert public - set(listed) == set()


@pytest.mark.parametrize("name", ["{}.md", "{}.zh.md"])
@pytest.mark.parametrize(
    ("page", "kinds"),
    {
        "sensor": [BaseTaskWaitOperator, SeeAnyTaskSensor, SeeAnyTaskResultOperator],
        "waiting": [SeeAnyTaskBatchSensor],
        "submit": [SeeAnySubmitOperator],
        "download": [SeeAnyDownloadOperator],
        "budget": [SeeAnyBudgetOperator],
    }.items(),
)
def test_every_parameter_is_explained(page: str, kinds: list[Any], name: str) -> None:
    text = (DOCS / name.format(page)).read_text("utf-8")
    parameters = {parameter for kind in kinds for parameter in signature(kind.__init__).parameters}

    assert {name for name in parameters - {"self", "kwargs"} if not re.search(rf"`{name}\b|\b{name}=", text)} == set()


def options(tree: Any) -> dict[str, str]:
    """Return what Compose's or Helm's YAML sets, by the name of the environment variable: its value, if it has one."""
    if isinstance(tree, list):
        return {name: value for item in tree for name, value in options(item).items()}
    if not isinstance(tree, dict):
        return {}
    if "envName" in tree:
        return {tree["envName"]: ""}
    found = {name: value for name, value in tree.items() if name.startswith("AIRFLOW_")}
    for section, values in tree.get("config", {}).items():
        found |= {f"AIRFLOW__{section}__{name}".upper(): value for name, value in values.items()}
    return found | {name: value for item in tree.values() for name, value in options(item).items()}


@pytest.mark.parametrize("block", blocks("yaml", DOCS / "deploy.md", DOCS / "deploy.zh.md"))
def test_compose_and_helm_set_options_that_there_are(block: str) -> None:
    given = options(yaml.safe_load(block))
    known = {
        f"AIRFLOW__{section}__{name}".upper()
        for section, settings in (conf.configuration_description | get_provider_info()["config"]).items()
        for name in settings["options"]
    }
    connection = given.pop("AIRFLOW_CONN_SEEANY_DEFAULT")

    assert set(given) == {
        "AIRFLOW__SEEANY__CALLBACK_SECRET",
        "AIRFLOW__API__BASE_URL",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL",
    }
    assert set(given) <= known
    assert not connection or json.loads(connection)["conn_type"] == "seeany"
