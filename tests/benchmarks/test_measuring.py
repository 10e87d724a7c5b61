"""The measurements themselves: ratios within a round, limits that hold, waits that leave nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from benchmarks import download
from benchmarks.contestants import OURS
from benchmarks.copying import OURS as OURS_COPIES
from benchmarks.poll_cost import request_count
from benchmarks.short import above_limit
from benchmarks.soak import soak
from benchmarks.spread import Spread, verdict
from benchmarks.stub import Stub, running_stub


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "AIRFLOW_CONN_SEEANY_DEFAULT"):
        monkeypatch.setenv(name, "")  # put back afterwards
    with running_stub() as running:
        yield running


def test_a_ratio_compares_measurements_of_the_same_round() -> None:
    ratio = Spread.of_ratios([2.0, 20.0, 3.0], [1.0, 10.0, 2.0])

    assert ratio == Spread(median=2.0, minimum=1.5, maximum=2.0)
    assert ratio.shown("×", digits=1) == "2.0× (1.5–2.0)"


def test_a_missed_target_is_reported_as_missed() -> None:
    assert "missed" in verdict("at most 1", "2", met=False)
    assert "missed" not in verdict("at most 1", "1", met=True)


def test_ci_fails_on_values_above_their_limit_and_on_nan() -> None:
    assert above_limit({"cost": (1.0, 3.0), "sockets": (0, 0)}) == []
    assert above_limit({"cost": (3.1, 3.0), "sockets": (1, 0), "lag": (float("nan"), 1.0)}) == [
        "cost",
        "sockets",
        "lag",
    ]


def test_a_copy_is_compared_within_its_round_and_held_to_the_memory_that_is_promised() -> None:
    def seen(seconds: float, mib: float) -> list[dict[str, float]]:
        return [{"seconds": seconds * load, "cpu": 1.0, "mib": mib} for load in (1, 10)]

    *table, promise = download.costs({OURS_COPIES: seen(1, 65), "other": seen(2, 500)})

    assert any("| other |" in line and "| 2.0× (2.0–2.0) |" in line for line in table)
    assert "missed" in promise


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cancelled_waits_leave_no_socket_and_no_task(stub: Stub, scheme: str) -> None:
    wait = OURS.prepare(stub.https if scheme == "https" else stub.http)

    left = asyncio.run(soak(wait, waiters=50, interval=0.2, short_run=0.5, seconds=0.5))

    assert left.leaves_nothing_open
    assert left.during.tasks > 50
    assert left.during.sockets > left.before.sockets
    assert request_count(stub) > 100
