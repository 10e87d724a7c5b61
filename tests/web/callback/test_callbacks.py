"""What a callback does in each situation: in Airflow's database, at SeeAny, and for the caller."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.api.dialects import DEFAULT_DIALECT
from airflow_provider_seeany.api.dialects.base import Dialect
from airflow_provider_seeany.xcoms.record_key import FIRST_KEY, LAST_KEY
from tests.hostile import COMPLETED, DEVELOPER_TASK, V1_TASK
from tests.scripts.run import run_script
from tests.waits import starts_triggers


class Expected(NamedTuple):
    """What a callback is to do."""

    http_status: int
    status: str | None
    task_instances: int
    polls: int
    states: list[str]
    registration: str


RESUMED = Expected(202, "resumed", 1, 1, ["scheduled"], "gone")
ENDED = RESUMED._replace(states=["success"])
NO_WAIT = Expected(200, "no_wait", 0, 0, ["deferred"], "there")
NOTED = Expected(202, "noted", 1, 0, ["deferred"], "received")
TOO_LATE = NO_WAIT._replace(polls=1)
ERROR = Expected(503, None, 0, 1, ["deferred"], "there")

_EXPECTED = {
    "classic": RESUMED,
    "ends in the triggerer": ENDED,
    "worker-free": ENDED,
    "worker-free, without XComs": ENDED,
    "failed": RESUMED,
    "failed, ends in the triggerer": RESUMED,
    "failed, worker-free": RESUMED,
    "partial, worker-free": ENDED,
    "partial and not accepted, worker-free": RESUMED,
    "still running": Expected(202, "still_running", 0, 1, ["deferred"], "there"),
    "too early": NOTED,
    "in its first worker": NOTED._replace(states=["running"]),
    "back in a worker": NO_WAIT._replace(states=["running"]),
    "marked as failed": NO_WAIT._replace(states=["failed"]),
    "timed out by Airflow": NO_WAIT._replace(states=["scheduled"]),
    "about to fire": NO_WAIT._replace(registration="gone"),
    "another connection's URL": NO_WAIT,
    "another connection's URL that names the task": NO_WAIT,
    "another connection and id that read alike": NO_WAIT,
    "the URL names the task": RESUMED,
    "two wait for it": RESUMED._replace(task_instances=2, states=["scheduled"] * 2),
    "an odd id": RESUMED,
    "another XCom under the key of the registration": NO_WAIT._replace(registration="another"),
    "a registration for another task under this key": NO_WAIT,
    "a registration for another connection under this key": NO_WAIT,
    "a registration of an earlier try": NO_WAIT,
    "marked as failed meanwhile": TOO_LATE._replace(states=["failed"]),
    "timed out by Airflow meanwhile": TOO_LATE._replace(states=["scheduled"]),
    "about to fire meanwhile": TOO_LATE._replace(registration="gone"),
    "deferred anew meanwhile": TOO_LATE,
    "SeeAny is down": ERROR,
    "SeeAny does not respond": ERROR,
    "SeeAny refuses the key": ERROR,
    "SeeAny does not know it": ERROR,
    "the response of a completed task has no video": ERROR,
    "the response is about another task": ERROR,
    "there is no connection": ERROR._replace(polls=0),
}
EXPECTED = {
    name: expected
    for name, expected in _EXPECTED.items()
    if AIRFLOW_V_3_3_PLUS or not ("worker-free" in name or "triggerer" in name)
}


pytestmark = pytest.mark.xdist_group("callbacks")


@pytest.fixture(scope="module")
def in_each_dialect(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The outcome of each situation, by the name of the dialect in which the task is polled."""
    home = tmp_path_factory.mktemp("callbacks")
    return run_script("callbacks", home / "home", f"sqlite:///{home}/airflow.db")


@pytest.fixture
def results(in_each_dialect: Any, dialect: Dialect) -> Any:
    """The outcome of each situation."""
    return in_each_dialect[dialect.name]


def test_every_situation_is_tested(results: Any) -> None:
    assert set(results) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_callback_does_what_it_should_and_nothing_else(results: Any, name: str) -> None:
    left = results[name]
    response, registration = left["response"], left["registration"]
    found = Expected(
        http_status=left["http_status"],
        status=response.get("status"),
        task_instances=response.get("task_instances", 0),
        polls=len(left["polls"]),
        states=left["states"],
        registration="gone"
        if registration is None
        else {True: "received", False: "there"}.get(registration.get("received"), "another"),
    )
    assert found == EXPECTED[name]
    assert left["has Retry-After"] == (left["http_status"] == 503)
    assert set(left["bystanders"]) == {"deferred"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_worker_receives_the_whole_payload_of_a_task_that_ended(results: Any, name: str) -> None:
    statuses = [event and event["payload"]["status"] for event in results[name]["events"]]
    first_word = name.replace(",", " ").partition(" ")[0]
    status = {"failed": "failed", "partial": "partial_failed"}.get(first_word, "completed")
    is_in_event = EXPECTED[name].status == "resumed" and "scheduled" in EXPECTED[name].states
    assert statuses == [status if is_in_event else None] * len(EXPECTED[name].states)


@starts_triggers
@pytest.mark.parametrize("name", ["worker-free", "ends in the triggerer"])
def test_without_a_worker_the_values_are_pushed_as_they_are(results: Any, name: str) -> None:
    xcoms = results[name]["xcoms"]
    assert xcoms["return_value"]["usage"] == COMPLETED["usage"]
    assert (xcoms["video_url"], xcoms["cost"]) == (COMPLETED["video_url"], 0.7)
    assert xcoms["_link_WatchVideoLink"] == COMPLETED["video_url"]
    (record,) = (value for key, value in xcoms.items() if FIRST_KEY <= key < LAST_KEY)
    assert (record["conn_id"], record["state"]) == ("studio", "completed")


@starts_triggers
def test_without_a_worker_only_the_links_are_pushed_if_do_xcom_push_is_off(results: Any) -> None:
    xcoms = results["worker-free, without XComs"]["xcoms"]
    assert set(xcoms) == {"_link_WatchVideoLink"}


def test_an_id_cannot_leave_its_part_of_the_url(results: Any, dialect: Dialect) -> None:
    path = V1_TASK if dialect is DEFAULT_DIALECT else DEVELOPER_TASK
    assert results["an odd id"]["polls"] == [f"{path}..%2Fx%3Fy%3D1%23z"]
