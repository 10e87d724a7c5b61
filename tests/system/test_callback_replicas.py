"""Callbacks where two of each of Airflow's processes share a PostgreSQL, and several callbacks come at one moment."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from sqlalchemy import create_engine, text

from airflow_provider_seeany.callback.registration import KEY_PREFIX
from airflow_provider_seeany.callback.token import TokenClaims, sign_token
from airflow_provider_seeany.wait.deferral import FIRST_POLL_DELAY
from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey
from local_airflow import LocalAirflow
from local_airflow.client import wait_until
from tests.hostile import COMPLETED, PROCESSING, HostileServer, in_background, reply
from tests.state_changes import keep_state_changes, states_after_deferral
from tests.system.conftest import FinishedRun
from tests.system.replicas import ALL, CONNECTION, RACING, RESUMED, SIBLINGS, seeany_task_id

pytestmark = [pytest.mark.system, pytest.mark.large, pytest.mark.xdist_group("callback_replicas")]

CALLBACKS_AT_EACH = 2
"""Callbacks for one task that each of two api-servers gets at one moment."""

DID_RESUME, NO_WAIT = "resumed", "no_wait"


@dataclass(frozen=True)
class Response:
    """An api-server's response to a callback."""

    http_status: int
    status: str
    task_instances: int


@dataclass
class Course:
    """What happened to the waits, and what came of them."""

    responses: dict[str, list[Response]] = field(default_factory=dict)
    """To callbacks through the waits' own connection, by the id of the SeeAny task."""
    responses_to_strangers: list[Response] = field(default_factory=list)
    """To callbacks through another connection, for the same ids and the same task instances."""
    polls_before_strangers: Counter[str] = field(default_factory=Counter)
    polls_after_strangers: Counter[str] = field(default_factory=Counter)
    states_after_strangers: Counter[str | None] = field(default_factory=Counter)
    states: dict[str, list[str]] = field(default_factory=dict)
    """The states that each wait has had since its deferral."""
    xcoms: dict[str, dict[str, object]] = field(default_factory=dict)
    registrations_left: int = 0
    state: str = ""
    schedulers: int = 0
    """How many were alive to the end."""
    triggerers_with_waits: int = 0


def call_back_at_once(urls: Sequence[str], body: object, *, at: float = 0) -> list[Response]:
    """Call back at all these URLs at one moment."""
    ready = threading.Barrier(len(urls))

    def call_back(url: str) -> Response:
        ready.wait()
        response = requests.post(url, json=body, timeout=60)
        return Response(response.status_code, **response.json())

    time.sleep(max(at - time.time(), 0))
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(call_back, urls))


def callback_urls(airflow: LocalAirflow, claims: TokenClaims, secret: str) -> list[str]:
    """Return the callback URL as it is at each api-server."""
    return [f"{url}/seeany/callback/{sign_token(claims, secret=secret)}" for url in airflow.urls]


@pytest.fixture(scope="module")
def course(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Everything that has happened, after it has."""
    home = tmp_path_factory.mktemp("replicas") / "home"
    secret = secrets.token_hex(32)
    environment = {
        "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
        # So that no triggerer can have all waits, nor those that only a callback ends.
        "AIRFLOW__TRIGGERER__CAPACITY": "10",
    }
    api = HostileServer()
    with (
        in_background(api.serve),
        LocalAirflow(
            home,
            Path(__file__).with_name("replica_dags"),
            env=environment,
            database_url=postgres_url,
            replicas={"api-server": 2, "scheduler": 2, "triggerer": 2},
            wait_for_dags=["replicas"],
        ) as airflow,
    ):
        for connection in (CONNECTION, "stranger"):
            airflow.create_connection(connection, conn_type="seeany", host=api.url, password="sk-replicas")
        yield run_course(airflow, api, database_url=postgres_url, secret=secret)


def run_course(airflow: LocalAirflow, api: HostileServer, *, database_url: str, secret: str) -> Course:
    """Call back as a stranger, then as SeeAny, and return what happened."""
    course = Course()
    engine = create_engine(database_url)
    with engine.begin() as database:
        keep_state_changes(database)
    set_status(api, ALL, PROCESSING)
    run = airflow.trigger_dag("replicas")
    for task_id in ALL:
        airflow.wait_for_task(run, task_id, {"deferred"}, timeout=120)
    may_be_resumed = time.time() + FIRST_POLL_DELAY[1]
    expected = Counter(map(seeany_task_id, ALL))
    wait_until(lambda: polls(api) >= expected, timeout=120, describe=lambda: f"not yet polled: {expected - polls(api)}")
    time.sleep(max(may_be_resumed - time.time(), 0))
    deferred = airflow.client.task_instances_in("deferred")
    course.triggerers_with_waits = len({each.triggerer_id for each in deferred} - {None})

    waits = [*RESUMED, *SIBLINGS]
    ids = list(dict.fromkeys(map(seeany_task_id, waits)))
    own_urls = callback_urls(airflow, TokenClaims(CONNECTION), secret) * CALLBACKS_AT_EACH
    with ThreadPoolExecutor(len(ALL)) as threads:
        set_status(api, waits, COMPLETED)
        course.polls_before_strangers = polls(api)
        stranger = callback_urls(airflow, TokenClaims("stranger"), secret)
        calls: list[Callable[[], list[Response]]] = [partial(call_back_at_once, stranger, {"id": each}) for each in ids]
        for task_id in waits:
            named = TokenClaims("stranger", TaskInstanceKey("replicas", run.run_id, task_id))
            calls.append(partial(call_back_at_once, callback_urls(airflow, named, secret), {}))
        for responses in threads.map(lambda call: call(), calls):
            course.responses_to_strangers += responses
        course.polls_after_strangers = polls(api)
        course.states_after_strangers = Counter(
            each.state for each in airflow.task_instances(run) if each.task_id not in RACING
        )

        at = time.time() + 0.5
        own = {each: threads.submit(call_back_at_once, own_urls, {"data": {"id": each}}, at=at) for each in ids}
        course.responses = {each: responses.result() for each, responses in own.items()}
        set_status(api, RACING, COMPLETED)
        ended = time.time()
        racing = {
            # So long after the SeeAny task's end that the triggerer may come first, or may not.
            each: threads.submit(call_back_at_once, own_urls, {"id": each}, at=ended + 0.15 * number)
            for number, each in enumerate(map(seeany_task_id, RACING))
        }
        course.responses |= {each: responses.result() for each, responses in racing.items()}
    course.state = airflow.wait_for_run(run, timeout=120).state
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    course.xcoms = {task_id: finished.xcoms(task_id) for task_id in ALL}
    with engine.begin() as database:
        for name, task_instance_id in database.execute(text("SELECT task_id, id FROM task_instance")):
            course.states[name] = states_after_deferral(database, task_instance_id)
        left = text("SELECT count(*) FROM xcom WHERE starts_with(key, :prefix)").bindparams(prefix=KEY_PREFIX)
        course.registrations_left = int(database.scalar(left) or 0)
    engine.dispose()
    airflow.check()
    course.schedulers = sum(job.state == "running" for job in airflow.jobs("SchedulerJob"))
    return course


def set_status(api: HostileServer, task_ids: Iterable[str], task: dict[str, object]) -> None:
    """Let the SeeAny tasks of these waits be as this one from now on."""
    for seeany_id in map(seeany_task_id, task_ids):
        api.script(reply(200, {**task, "id": seeany_id}), task_id=seeany_id)


def polls(api: HostileServer) -> Counter[str]:
    """Return how often each SeeAny task was polled."""
    return Counter(request.target.rpartition("/")[2] for request in tuple(api.requests))


@pytest.mark.parametrize("task_id", ALL)
def test_a_wait_ends_exactly_once_with_two_of_each_process(course: Course, task_id: str) -> None:
    # By a callback or by its own poll.
    expected = ["success"] if AIRFLOW_V_3_3_PLUS else ["scheduled", "queued", "running", "success"]
    assert course.states[task_id] == expected
    assert course.xcoms[task_id]["return_value"]["id"] == seeany_task_id(task_id)  # type: ignore[index]


@pytest.mark.parametrize("seeany_id", sorted({seeany_task_id(task_id) for task_id in (*RESUMED, *SIBLINGS)}))
def test_of_the_callbacks_that_come_at_one_moment_one_resumes_each_wait(course: Course, seeany_id: str) -> None:
    waits = [task_id for task_id in ALL if seeany_task_id(task_id) == seeany_id]
    responses = course.responses[seeany_id]
    assert sum(each.task_instances for each in responses) == len(waits)
    assert len(responses) == 2 * CALLBACKS_AT_EACH
    for each in responses:
        count = each.task_instances
        assert each == (Response(202, DID_RESUME, count) if count else Response(200, NO_WAIT, 0))


@pytest.mark.parametrize("task_id", RACING)
def test_a_callback_after_the_triggerers_own_poll_resumes_nothing(course: Course, task_id: str) -> None:
    responses = course.responses[seeany_task_id(task_id)]
    assert sum(each.status == DID_RESUME for each in responses) in (0, 1)
    assert set(responses) <= {Response(202, DID_RESUME, 1), Response(200, NO_WAIT, 0)}


def test_the_url_of_another_connection_resumes_nothing_and_polls_nothing(course: Course) -> None:
    # By the id in the body, and by the task instance in the token, at each api-server.
    waits = {*RESUMED, *SIBLINGS}
    ids = set(map(seeany_task_id, waits))
    assert Counter(course.responses_to_strangers) == {Response(200, NO_WAIT, 0): 2 * (len(waits) + len(ids))}
    before, after = course.polls_before_strangers, course.polls_after_strangers
    assert {each: after[each] for each in ids} == {each: before[each] for each in ids}
    assert course.states_after_strangers == {"deferred": len(waits)}


def test_nothing_is_left_of_the_waits(course: Course) -> None:
    assert (course.state, course.registrations_left) == ("success", 0)


def test_all_processes_took_part(course: Course) -> None:
    # Or all of this would prove nothing.
    assert (course.schedulers, course.triggerers_with_waits) == (2, 2)
