"""
The documentation: its links lead somewhere, Chinese readers are told what English ones are, and of the tables of errors
none misses an error and what they say of retries is so.
"""

from __future__ import annotations

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
def test_chinese_readers_are_told_the_same(english: Path, chinese: Path) -> None:
    """The same chapters, the same rows in tables and the same code; the words are for people to compare."""
    told = [
        {
            "chapters": [heading.count("#") for heading in re.findall(r"^#+", text, re.MULTILINE)],
            "rows": [row.count("|") for row in _TABLE_ROW.findall(text)],
            "code": [_COMMENT.sub("", block) for block in _CODE_BLOCK.findall(text)],
        }
        for text in (page.read_text("utf-8") for page in (english, chinese))
    ]
    assert told[0] == told[1]


def test_every_page_of_the_documentation_is_there_in_chinese() -> None:
    english = {page for page in DOCS.glob("*.md") if not page.stem.endswith(".zh")} | {ROOT / "README.md"}
    assert {page for page, _ in TWINS} == english
