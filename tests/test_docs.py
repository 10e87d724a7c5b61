"""
The documentation: its links lead somewhere, both languages have the same content, the tables of errors have every error
and whether it is retried, and the log lines that they quote are those of the code.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, AirflowSensorTimeout

from airflow_provider_seeany import exceptions
from airflow_provider_seeany.exceptions import SeeAnyError

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
