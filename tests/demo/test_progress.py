"""The progress in the log of a task."""

from __future__ import annotations

import pytest

from airflow_provider_seeany.api.snapshot import Snapshot
from demo.plan import WaitName
from demo.progress import Progress, View, WaitView, last_progress

STAMP = "[2026-11-23T01:00:36.377425Z] INFO"
LOGGER = "(airflow.providers.seeany)"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("SeeAny task x: processing 65 %, about 42 s left", Progress("processing", 65, 42)),
        ("SeeAny task x: processing 65.5 %", Progress("processing", 65.5)),
        ("SeeAny task x: processing, about 1.2e+05 s left", Progress("processing", None, 120_000)),
        ("SeeAny task x: queued", Progress("queued")),
        ("SeeAny task x: 排队中 3 %", Progress("排队中", 3)),
        ("SeeAny task x: processing 250 %", Progress("processing", 100)),
        ("SeeAny task x completed: https://x/y.mp4, cost ¥0.70", Progress("completed", 100)),
        ("SeeAny task xy: processing 65 %", None),
        ("SeeAny task x failed", None),
        ("Pausing task as DEFERRED.", None),
        ("", None),
    ],
)
@pytest.mark.parametrize("form", ["{}", f"{STAMP} {{}}", f"{STAMP} {{}} {LOGGER}", f"before\n{STAMP} {{}}\nafter"])
def test_a_log_line_is_parsed(line: str, form: str, expected: Progress | None) -> None:
    assert last_progress(form.format(line), "x") == expected


@pytest.mark.parametrize(
    "seen",
    [
        Snapshot(status="processing", progress=12.345, estimated_remaining=7),
        Snapshot(status="processing", progress=100),
        Snapshot(status="queued", estimated_remaining=3.5),
    ],
)
def test_the_providers_own_lines_are_parsed(seen: Snapshot) -> None:
    found = last_progress(f"SeeAny task x: {seen}", "x")
    assert found is not None
    assert found.status == seen.status
    assert (found.percent or 0) == pytest.approx(seen.progress or 0, rel=0.01)
    assert found.seconds_left == seen.estimated_remaining


def test_the_last_line_counts() -> None:
    log = "\n".join(f"{STAMP} SeeAny task x: processing {percent} % {LOGGER}" for percent in (0, 40, 90))
    assert last_progress(log, "x") == Progress("processing", 90)


def test_an_id_is_not_used_as_a_pattern() -> None:
    assert last_progress("SeeAny task a+(b: processing 5 %", "a+(b") == Progress("processing", 5)


def test_a_successful_wait_has_a_full_bar() -> None:
    wait = WaitView(WaitName("wait"), "x", "success", Progress("processing", 95, 1))
    assert wait.percent == 100
    assert wait.has_ended


def test_a_view_counts_deferred_waits() -> None:
    first = WaitView(WaitName("a"), "x", "deferred", Progress("processing", 20))
    second = WaitView(WaitName("b"), "y", "running")
    assert View(1, (first, second)).deferred == 1
    assert not View(1, (first, second)).all_wait
    assert View(1, (first,)).all_wait
