"""Callbacks where two of each of Airflow's processes share a PostgreSQL, and rings come several at a moment."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
import requests
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS
from sqlalchemy import create_engine, text

from airflow_provider_seeany.callback.registration import KEY_PREFIX
from airflow_provider_seeany.callback.token import TaskInstanceKey, TokenClaims, sign_token
from airflow_provider_seeany.wait.deferral import FIRST_POLL_DELAY
from demo.simulator import running_simulator
from local_airflow import LocalAirflow
from local_airflow.client import wait_until
from tests.state_changes import keep_state_changes, states_after_deferral
from tests.system.conftest import REPOSITORY, FinishedRun
from tests.system.replicas import ALL, CONNECTION, RACING, RUNG_FOR, SECONDS, SIBLINGS, is_worker_free, seeany_task_id

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("callback_replicas")]

RINGS_AT_EACH = 2
"""Rings for one task that each of two api-servers gets at one moment."""

WOKEN, NOBODY = "woken", "nobody_waits"


@dataclass(frozen=True)
class Heard:
    """What an api-server answered to a ring."""

    status: int
    happened: str
    task_instances: int


@dataclass
class Course:
    """What happened to the waits, and what came of them."""

    answers: dict[str, list[Heard]] = field(default_factory=dict)
    """To the rings through the waits' own connection, by the id of the SeeAny task."""
    answers_to_strangers: list[Heard] = field(default_factory=list)
    """To the rings through another connection, for the same ids and the same task instances."""
    asked_before_strangers: Mapping[str, float] = field(default_factory=dict)
    asked_after_strangers: Mapping[str, float] = field(default_factory=dict)
    states_after_strangers: Counter[str | None] = field(default_factory=Counter)
    states: dict[str, list[str]] = field(default_factory=dict)
    """The states that each wait has had since its deferral."""
    xcoms: dict[str, dict[str, object]] = field(default_factory=dict)
    marks_left: int = 0
    state: str = ""
    schedulers: int = 0
    """How many were alive to the end."""
    triggerers_with_waits: int = 0


def ring_at_once(urls: Sequence[str], body: object, *, at: float = 0) -> list[Heard]:
    """Ring at all these URLs at one moment."""
    ready = threading.Barrier(len(urls))

    def ring(url: str) -> Heard:
        ready.wait()
        answer = requests.post(url, json=body, timeout=60)
        return Heard(answer.status_code, **answer.json())

    time.sleep(max(at - time.time(), 0))
    with ThreadPoolExecutor(len(urls)) as threads:
        return list(threads.map(ring, urls))


def callback_urls(airflow: LocalAirflow, ringer: TokenClaims, secret: str) -> list[str]:
    """Return the callback URL as it is at each api-server."""
    return [f"{url}/seeany/callback/{sign_token(ringer, secret=secret)}" for url in airflow.urls]


@pytest.fixture(scope="module")
def course(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Everything that has happened, after it has."""
    home = tmp_path_factory.mktemp("replicas") / "home"
    secret = secrets.token_hex(32)
    environment = {
        "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
        # So that no triggerer can have all waits, nor those that only a ring ends.
        "AIRFLOW__TRIGGERER__CAPACITY": "10",
        "PYTHONPATH": str(REPOSITORY),
    }
    with (
        running_simulator(home.with_name("simulator.log")) as simulator,
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
            airflow.create_connection(connection, conn_type="seeany", host=simulator, password="sk-replicas")
        yield run_course(airflow, simulator=simulator, database_url=postgres_url, secret=secret)


def run_course(airflow: LocalAirflow, *, simulator: str, database_url: str, secret: str) -> Course:
    """Ring as strangers, then as SeeAny, and tell what happened."""
    course = Course()
    engine = create_engine(database_url)
    with engine.begin() as database:
        keep_state_changes(database)
    run = airflow.trigger_dag("replicas")
    counts = partial(_of_simulator, simulator, "requests")
    own_urls = callback_urls(airflow, TokenClaims(CONNECTION), secret) * RINGS_AT_EACH
    ids = list(dict.fromkeys(map(seeany_task_id, [*RUNG_FOR, *SIBLINGS])))
    with ThreadPoolExecutor(len(ALL)) as threads:
        racing = {
            seeany_task_id(task_id): threads.submit(_race, simulator, own_urls, task_id, 0.15 * number)
            for number, task_id in enumerate(RACING)
        }
        for task_id in (*RUNG_FOR, *SIBLINGS):
            airflow.wait_for_task(run, task_id, {"deferred"}, timeout=120)
        may_be_resumed = time.time() + FIRST_POLL_DELAY[1]
        _wait_for_the_end_of(ids, simulator)
        time.sleep(max(may_be_resumed - time.time(), 0))
        deferred = airflow.client.task_instances_in("deferred")
        course.triggerers_with_waits = len({each.triggerer_id for each in deferred} - {None})

        course.asked_before_strangers = counts()
        stranger = callback_urls(airflow, TokenClaims("stranger"), secret)
        rings: list[Callable[[], list[Heard]]] = [partial(ring_at_once, stranger, {"id": each}) for each in ids]
        for task_id in (*RUNG_FOR, *SIBLINGS):
            named = TokenClaims("stranger", TaskInstanceKey("replicas", run.run_id, task_id))
            rings.append(partial(ring_at_once, callback_urls(airflow, named, secret), {}))
        for receive in threads.map(lambda ring: ring(), rings):
            course.answers_to_strangers += receive
        course.asked_after_strangers = counts()
        course.states_after_strangers = Counter(
            each.state for each in airflow.task_instances(run) if each.task_id not in RACING
        )

        at = time.time() + 0.5
        own = {each: threads.submit(ring_at_once, own_urls, {"data": {"id": each}}, at=at) for each in ids}
        course.answers = {each: receive.result() for each, receive in {**own, **racing}.items()}
    course.state = airflow.wait_for_run(run, timeout=120).state
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    course.xcoms = {task_id: finished.xcoms(task_id) for task_id in ALL}
    with engine.begin() as database:
        for name, task_instance_id in database.execute(text("SELECT task_id, id FROM task_instance")):
            course.states[name] = states_after_deferral(database, task_instance_id)
        left = text("SELECT count(*) FROM xcom WHERE starts_with(key, :prefix)").bindparams(prefix=KEY_PREFIX)
        course.marks_left = int(database.scalar(left) or 0)
    engine.dispose()
    airflow.check()
    course.schedulers = sum(job.state == "running" for job in airflow.jobs("SchedulerJob"))
    return course


def _of_simulator(simulator: str, what: str) -> dict[str, float]:
    return dict(requests.get(f"{simulator}/simulator/{what}", timeout=30).json())


def _wait_for_the_end_of(ids: Sequence[str], simulator: str) -> float:
    """Wait until these SeeAny tasks have ended, and return when the last of them did."""
    started: dict[str, float] = {}

    def all_have_begun() -> bool:
        started.update(_of_simulator(simulator, "starts"))
        return all(each in started for each in ids)

    wait_until(all_have_begun, timeout=120, describe=lambda: f"only {sorted(started)} have been asked for")
    end = max(started[each] for each in ids) + SECONDS
    time.sleep(max(end - time.time(), 0))
    return end


def _race(simulator: str, urls: Sequence[str], task_id: str, after: float) -> list[Heard]:
    """Ring so many seconds after the SeeAny task's end that the triggerer may come first, or may not."""
    seeany_id = seeany_task_id(task_id)
    end = _wait_for_the_end_of([seeany_id], simulator)
    return ring_at_once(urls, {"id": seeany_id}, at=end + after)


@pytest.mark.parametrize("task_id", ALL)
def test_a_wait_ends_exactly_once_with_two_of_each_process(course: Course, task_id: str) -> None:
    from_trigger = is_worker_free(task_id) and AIRFLOW_V_3_3_PLUS
    assert course.states[task_id] == ["success"] if from_trigger else ["scheduled", "queued", "running", "success"]
    assert course.xcoms[task_id]["return_value"]["id"] == seeany_task_id(task_id)  # type: ignore[index]


@pytest.mark.parametrize("seeany_id", sorted({seeany_task_id(task_id) for task_id in (*RUNG_FOR, *SIBLINGS)}))
def test_of_the_rings_that_come_at_one_moment_one_wakes_each_wait(course: Course, seeany_id: str) -> None:
    waits = [task_id for task_id in ALL if seeany_task_id(task_id) == seeany_id]
    answers = course.answers[seeany_id]
    assert sum(receive.task_instances for receive in answers) == len(waits)
    assert len(answers) == 2 * RINGS_AT_EACH
    for receive in answers:
        assert receive == (
            Heard(202, WOKEN, receive.task_instances) if receive.task_instances else Heard(200, NOBODY, 0)
        )


@pytest.mark.parametrize("task_id", RACING)
def test_a_ring_that_comes_after_the_triggerers_own_question_wakes_nobody(course: Course, task_id: str) -> None:
    answers = course.answers[seeany_task_id(task_id)]
    assert sum(receive.happened == WOKEN for receive in answers) in (0, 1)
    # On a busy machine the wait may be so young that a ring only leaves a note.
    assert set(answers) <= {Heard(202, WOKEN, 1), Heard(202, "noted", 1), Heard(200, NOBODY, 0)}


def test_the_url_of_another_connection_wakes_nobody_and_asks_nothing(course: Course) -> None:
    # By the id in the body, and by the task instance in the token, at each api-server.
    waits = {*RUNG_FOR, *SIBLINGS}
    ids = set(map(seeany_task_id, waits))
    assert Counter(course.answers_to_strangers) == {Heard(200, NOBODY, 0): 2 * (len(waits) + len(ids))}
    before, after = course.asked_before_strangers, course.asked_after_strangers
    assert {each: after[each] for each in ids} == {each: before[each] for each in ids}
    assert course.states_after_strangers == {"deferred": len(waits)}


def test_nothing_is_left_of_the_waits(course: Course) -> None:
    assert (course.state, course.marks_left) == ("success", 0)


def test_all_processes_took_part(course: Course) -> None:
    # Or all of this would prove nothing.
    assert (course.schedulers, course.triggerers_with_waits) == (2, 2)
