"""What a ring brings about in each situation: in Airflow's database, at SeeAny, and for who rings."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.links.task import RESULT_LINKS
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY
from tests.hostile import COMPLETED
from tests.scripts.run import run_script
from tests.waits import starts_triggers


class Expected(NamedTuple):
    """What is to come of a ring."""

    status: int
    happened: str | None
    task_instances: int
    questions: int
    states: list[str]
    mark: str


WOKEN = Expected(202, "woken", 1, 1, ["scheduled"], "gone")
ENDED = WOKEN._replace(states=["success"])
NOBODY = Expected(200, "nobody_waits", 0, 0, ["deferred"], "there")
NOTED = Expected(202, "noted", 1, 0, ["deferred"], "received")
TOO_LATE = NOBODY._replace(questions=1)
TROUBLE = Expected(503, None, 0, 1, ["deferred"], "there")

_EXPECTED = {
    "classic": WOKEN,
    "worker-free": ENDED,
    "worker-free, without XComs": ENDED,
    "failed": WOKEN,
    "failed, worker-free": WOKEN,
    "still running": Expected(202, "still_running", 0, 1, ["deferred"], "there"),
    "too early": NOTED,
    "in its first worker": NOTED._replace(states=["running"]),
    "back in a worker": NOBODY._replace(states=["running"]),
    "marked as failed": NOBODY._replace(states=["failed"]),
    "timed out by Airflow": NOBODY._replace(states=["scheduled"]),
    "about to fire": NOBODY._replace(mark="gone"),
    "another connection's URL": NOBODY,
    "another connection's URL that names the task": NOBODY,
    "another connection and id that read alike": NOBODY,
    "the URL names the task": WOKEN,
    "two wait for it": WOKEN._replace(task_instances=2, states=["scheduled"] * 2),
    "an odd id": WOKEN,
    "another XCom by the mark's key": NOBODY._replace(mark="another"),
    "a mark of another task by this key": NOBODY,
    "a mark of another connection by this key": NOBODY,
    "a mark of an earlier try": NOBODY,
    "marked as failed meanwhile": TOO_LATE._replace(states=["failed"]),
    "timed out by Airflow meanwhile": TOO_LATE._replace(states=["scheduled"]),
    "about to fire meanwhile": TOO_LATE._replace(mark="gone"),
    "deferred anew meanwhile": TOO_LATE,
    "SeeAny is down": TROUBLE,
    "SeeAny does not answer": TROUBLE,
    "SeeAny refuses the key": TROUBLE,
    "SeeAny does not know it": TROUBLE,
    "SeeAny says that it is done, and shows no video": TROUBLE,
    "SeeAny tells of another task": TROUBLE,
    "there is no connection": TROUBLE._replace(questions=0),
}
EXPECTED = {name: expected for name, expected in _EXPECTED.items() if AIRFLOW_V_3_3_PLUS or "worker-free" not in name}


pytestmark = pytest.mark.xdist_group("rings")


@pytest.fixture(scope="module")
def received(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What came of each situation."""
    home = tmp_path_factory.mktemp("rings")
    return run_script("rings", home / "home", f"sqlite:///{home}/airflow.db")


def test_every_situation_is_looked_at(received: Any) -> None:
    assert set(received) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_ring_brings_about_what_it_should_and_nothing_else(received: Any, name: str) -> None:
    left = received[name]
    said, mark = left["said"], left["mark"]
    found = Expected(
        status=left["status"],
        happened=said.get("happened"),
        task_instances=said.get("task_instances", 0),
        questions=len(left["questions"]),
        states=left["states"],
        mark="gone" if mark is None else {True: "received", False: "there"}.get(mark.get("received"), "another"),
    )
    assert found == EXPECTED[name]
    assert left["may be repeated"] == (left["status"] == 503)
    assert set(left["bystanders"]) == {"deferred"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_worker_is_handed_the_whole_answer_of_a_task_that_ended(received: Any, name: str) -> None:
    statuses = [event and event["payload"]["status"] for event in received[name]["handed on"]]
    status = "failed" if name.startswith("failed") else "completed"
    is_handed_on = EXPECTED[name].happened == "woken" and "scheduled" in EXPECTED[name].states
    assert statuses == [status if is_handed_on else None] * len(EXPECTED[name].states)


@starts_triggers
def test_without_a_worker_the_values_are_pushed_as_they_are(received: Any) -> None:
    xcoms = received["worker-free"]["xcoms"]
    assert xcoms["return_value"]["usage"] == COMPLETED["usage"]
    assert (xcoms["video_url"], xcoms["cost"]) == (COMPLETED["video_url"], 0.7)
    assert xcoms["_link_WatchVideoLink"] == COMPLETED["video_url"]
    (record,) = (value for key, value in xcoms.items() if FIRST_KEY <= key < LAST_KEY)
    assert (record["conn_id"], record["state"]) == ("studio", "completed")


@starts_triggers
def test_without_a_worker_only_the_links_are_pushed_if_nothing_else_is_wanted(received: Any) -> None:
    xcoms = received["worker-free, without XComs"]["xcoms"]
    assert set(xcoms) == {link.xcom_key for link in RESULT_LINKS}


def test_an_id_cannot_leave_its_place_in_the_address(received: Any) -> None:
    assert received["an odd id"]["questions"] == ["/v1/tasks/..%2Fx%3Fy%3D1%23z"]
