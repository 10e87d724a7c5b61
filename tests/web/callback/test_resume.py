"""Finding and resuming waits in real databases: quickly among very many, and exactly once."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from local_airflow.postgres import running_postgres
from tests.fuzz import IN_CI
from tests.scripts.run import run_script
from tests.waits import starts_triggers

pytestmark = pytest.mark.system

WAYS = ("ends in a worker", "ends in the triggerer", "worker-free")
RACES = [
    *((f"callback, {rival}", way) for rival in ("callback", "poll", "sweep", "mark failed") for way in WAYS),
    *((f"poll, {rival}", way) for rival in ("poll", "sweep", "mark failed", "clear") for way in WAYS[1:]),
]
TIMES = 200 if IN_CI else 40


@pytest.fixture(scope="module")
def raced(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of all races."""
    return run_script("races", tmp_path_factory.mktemp("races") / "home", postgres_url, str(TIMES), timeout=900)


@starts_triggers
@pytest.mark.parametrize(("pair", "way"), RACES)
@pytest.mark.xdist_group("races")
def test_a_wait_ends_exactly_once_and_in_one_piece_whatever_races_for_it(raced: Any, pair: str, way: str) -> None:
    results = raced["results"][f"{pair}, {way}"]
    assert sum(results.values()) == TIMES
    contender, rival = pair.split(", ")
    without_worker, times_ended = way != WAYS[0], 0
    for text, times in results.items():
        result = json.loads(text)
        assert result["errors"] == []
        by_contender, by_rival = result["ended by"]
        ended = by_contender + by_rival
        assert ended == 1 if contender == rival else ended in (0, 1)
        times_ended += times * by_contender
        # Those of a success, and of that all or none.
        assert result["results"] == result["costs"] == int(ended and without_worker)
        if ended:
            # What it leaves, in one piece: state, XComs, no registration. A user may change the state after it.
            became = "success" if without_worker else "scheduled"
            assert result["became"] in ([became], *([["failed", became]] if rival == "mark failed" else []))
            assert result["registrations"] == 0 or rival == "clear"
        else:
            # That of a later try is another one's.
            assert len(result["became"]) == (rival != "clear")
    # Both come first now and then, or this would prove nothing.
    assert contender == rival == "callback" or 0 < times_ended < TIMES


@pytest.mark.xdist_group("races")
def test_a_success_without_a_worker_makes_airflow_load_no_dag_file(raced: Any) -> None:
    assert raced["requested callbacks"] == 0


@starts_triggers
@pytest.mark.xdist_group("races")
def test_a_note_for_one_try_never_replaces_the_registration_of_the_next(raced: Any) -> None:
    assert sum(raced["notes"].values()) == TIMES
    results = [json.loads(text) for text in raced["notes"]]
    assert all((result["of this try"], result["received"]) == (True, False) for result in results)
    # Both come first now and then, or this would prove nothing.
    assert {noted for result in results for noted in result["noted"]} == {True, False}


@pytest.mark.large
@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_a_wait_is_found_at_once_among_very_many(database: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        if database == "sqlite":
            found = run_script("find_waits", home, f"sqlite:///{folder}/airflow.db")
        else:
            with running_postgres() as url:
                found = run_script("find_waits", home, url)

    plan = "\n".join(found["plan"])
    print(f"{database}: {found['milliseconds'][25]:.1f} ms\n{plan}")
    assert found["task instances"] >= 10_000
    assert found["xcoms"] >= 1_000_000
    assert found["found"] == [True]
    assert "idx_xcom_key" in plan
    assert not any(f"{scan} {table}" in plan for scan in ("SCAN", "Seq Scan on") for table in ("xcom", "task_instance"))
    # The promise is 20 ms; half of the queries keep it with a wide margin even on a busy machine.
    assert found["milliseconds"][25] < 20
