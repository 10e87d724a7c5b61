"""Workers that are killed while they create a SeeAny task, on real Airflow processes: nothing is paid for twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.submit.store import STATE_KEY
from local_airflow import LocalAirflow
from tests.system.conftest import FinishedRun
from tests.system.counting import CountingServer, counting
from tests.system.echoes import KEY

pytestmark = [
    pytest.mark.system,
    pytest.mark.large,
    pytest.mark.xdist_group("airflow"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="Airflow keeps no state between tries before 3.3"),
]


@pytest.fixture(scope="module")
def server() -> Iterator[CountingServer]:
    with counting() as server:
        yield server


@dataclass
class Ended:
    """The run after all its tasks have ended, how many SeeAny tasks of each were created by then, and one's tab."""

    run: FinishedRun
    created: Counter[str]
    tab: dict[str, Any]


@pytest.fixture(scope="module")
def ends(airflow: LocalAirflow, simulator_url: str, server: CountingServer) -> tuple[Ended, Ended]:
    """Let all happen; then hand an id over, say that another one does not exist, and clear."""
    airflow.create_connection(
        "seeany_submits", conn_type="seeany", host=simulator_url, password=KEY, extra={"api": "developer"}
    )
    airflow.wait_for_dags({"submits"})
    run = airflow.trigger_dag("submits", conf={"url": server.url})

    def ended() -> Ended:
        finished = FinishedRun(airflow, airflow.wait_for_run(run, timeout=300))
        for key in finished.tasks:  # now, as the next try has others
            finished.log(*key)
            finished.xcoms(*key)
        created = Counter({label.rpartition("/")[2]: count for label, count in server.created.items()})
        return Ended(finished, created, finished.tab("after_the_store"))

    first = ended()
    tasks = f"/dags/submits/dagRuns/{run.run_id}/taskInstances"
    by_hand = {"value": "video-0s-by-hand", "expires_at": None}
    airflow.client.request("PUT", f"{tasks}/before_the_call/state-store/{STATE_KEY}", json=by_hand)
    airflow.client.request("DELETE", f"{tasks}/during_the_call/state-store/{STATE_KEY}")
    airflow.client.request(
        "POST",
        "/dags/submits/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run.run_id, "only_failed": False, "task_ids": list(CLEARED)},
    )
    return first, ended()


REUSED, STOPPED = "Nothing is created: SeeAny task", "was about to create a SeeAny task at"

# The state, the number of tries, how many tasks the server has created, what the last log says.
KILLED: dict[str, tuple[str, int, int, str]] = {
    "before_the_intent": ("success", 2, 1, "Created SeeAny task video-0s-before_the_intent-1"),
    "before_the_call": ("failed", 2, 0, STOPPED),
    "during_the_call": ("failed", 2, 1, STOPPED),
    "before_the_store": ("failed", 2, 1, STOPPED),
    "after_the_store": ("success", 2, 1, REUSED),
    "reused_by_a_clear": ("success", 2, 1, REUSED),
    "refused_first": ("success", 2, 1, "Created SeeAny task"),
    "wait": ("success", 2, 1, REUSED),
    # Created by the simulator, which tells nobody how many it has.
    "by_payload": ("success", 2, 0, REUSED),
}


@pytest.mark.parametrize("task_id", KILLED)
def test_a_retry_after_a_killed_worker_never_creates_twice(ends: tuple[Ended, Ended], task_id: str) -> None:
    first, _ = ends
    state, tries, created, says = KILLED[task_id]
    task, log = first.run.task(task_id), first.run.log(task_id)

    assert first.created[task_id] == created
    assert (task.state, task.try_number) == (state, tries), log
    assert says in log
    if state == "success":
        returned = first.run.xcoms(task_id)["return_value"]
        if task_id == "by_payload":
            assert returned["id"].startswith("wtask_")
        else:
            assert (returned["id"] if task_id == "wait" else returned) == f"video-0s-{task_id}-1"


def test_the_tab_shows_what_was_created(ends: tuple[Ended, Ended]) -> None:
    shown = ends[0].tab["result"]

    assert (shown["state"], shown["seeany_task_id"]) == ("created", "video-0s-after_the_store-1")


def test_each_mapped_instance_has_its_own_id(ends: tuple[Ended, Ended]) -> None:
    first, _ = ends

    for index in range(2):
        assert first.run.xcoms("mapped", index)["return_value"] == f"video-0s-mapped_{index}-1"
        assert first.run.task("mapped", index).try_number == 2


# The state after a clear, and how many tasks the server has created in all.
CLEARED = {
    "after_the_store": ("success", 2),
    "wait": ("success", 2),
    "reused_by_a_clear": ("success", 1),
    "before_the_store": ("failed", 1),
    # Their state was changed by hand.
    "before_the_call": ("success", 0),
    "during_the_call": ("success", 2),
}


@pytest.mark.parametrize("task_id", CLEARED)
def test_a_clear_creates_another_one_only_where_it_is_known_whether_there_is_one(
    ends: tuple[Ended, Ended], task_id: str
) -> None:
    _, cleared = ends

    assert (cleared.run.task(task_id).state, cleared.created[task_id]) == CLEARED[task_id]


def test_an_id_that_a_person_hands_over_is_used(ends: tuple[Ended, Ended]) -> None:
    assert ends[1].run.xcoms("before_the_call")["return_value"] == "video-0s-by-hand"
