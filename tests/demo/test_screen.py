"""The output: on a terminal, in a log, and in the README's picture."""

from __future__ import annotations

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from demo.check import Verdict, judge
from demo.picture import Album, write_picture
from demo.plan import REFUSED, WaitName, simulated
from demo.progress import Progress, View, WaitView
from demo.screen import Screen, bars, result
from tests.demo.test_check import MESSAGE, good_evidence


def view(percent: float = 50, state: str = "deferred", seconds: float = 12) -> View:
    waits = (
        WaitView(WaitName("wait_bag"), "video-19s-bag", state, Progress("processing", percent, 42)),
        WaitView(WaitName("wait_many", 1), "[bold]no markup[/]", state, Progress("processing", percent)),
    )
    return View(seconds, waits, busy_workers=0)


def console(width: int = 120, *, terminal: bool = False) -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=width, force_terminal=terminal, highlight=False), written


def test_bars_show_task_state_percent_and_time_left() -> None:
    to, written = console()
    to.print(bars(view()))
    text = written.getvalue()
    for part in ("wait_bag", "video-19s-bag", "deferred", "50 %", "42 s", "workers busy: 0", "triggerer: 2"):
        assert part in text
    assert "[bold]no markup[/]" in text


@pytest.mark.parametrize("width", [40, 80, 200])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    to, written = console(width)
    to.print(bars(view()))
    evidence = good_evidence(simulated())
    to.print(result(evidence, judge(simulated(), evidence), max_deferred=7, busy=0))
    assert max(len(line) for line in written.getvalue().splitlines()) <= width


def test_a_log_gets_a_line_when_something_changes_and_only_then() -> None:
    to, written = console()
    screen = Screen(to)
    with screen.following():
        for percent in (0, 0, 4, 12, 13):
            screen.show(view(percent))
        screen.show(view(100, "success", 20))
        screen.show(view(100, "success", 21))
    lines = [line for line in written.getvalue().splitlines() if "wait_bag" in line]
    assert lines == [
        "   12 s  wait_bag        video-19s-bag         deferred     0 %, about 42 s left",
        "   12 s  wait_bag        video-19s-bag         deferred    12 %, about 42 s left",
        "   20 s  wait_bag        video-19s-bag         success",
    ]
    assert written.getvalue().count("all 2 waits are deferred; workers busy: 0") == 1
    assert "\x1b" not in written.getvalue()


def test_the_result_shows_the_received_xcoms_and_the_platforms_message() -> None:
    to, written = console()
    evidence = good_evidence(simulated())
    to.print(result(evidence, judge(simulated(), evidence), max_deferred=7, busy=0))
    text = written.getvalue()
    for part in ("/output.mp4", "¥0.70", "5 s, 720p", "2025-06-03T00:02:30Z", "and 1 more", "¥3.60", MESSAGE):
        assert part in text
    assert text.splitlines()[-1].strip() == "PASS"
    assert "FAIL" not in text


def test_a_fail_names_every_problem() -> None:
    to, written = console()
    verdict = Verdict(("one [red]thing", "another"), ("a link ran out",))
    to.print(result(good_evidence(simulated()), verdict, max_deferred=0, busy=None))
    text = written.getvalue()
    assert "FAIL: one [red]thing" in text
    assert "FAIL: another" in text
    assert "note: a link ran out" in text
    assert "PASS" not in text


def test_the_picture_shows_the_waits_half_way_and_loads_nothing(tmp_path: Path) -> None:
    album = Album()
    for percent in (5, 48, 90):
        album.take(view(percent))
    album.take(view(50, "running"))
    assert album.best == view(48)

    evidence = good_evidence(simulated())
    file = tmp_path / "docs" / "demo.svg"
    write_picture(file, album.best, result(evidence, judge(simulated(), evidence), max_deferred=7, busy=0))
    svg = file.read_text(encoding="utf-8")
    assert "48&#160;%" in svg
    assert "PASS" in svg
    assert len(svg) < 100_000
    assert not re.search(r"@font-face|@import|url\((?!#)|<image|<script|href=", svg)
    assert WaitName(REFUSED).task_id not in svg  # of these two waits only
