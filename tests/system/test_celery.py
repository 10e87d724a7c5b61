"""Waits with CeleryExecutor on a Redis, two of most processes and triggerer queues, while one of each is killed."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from benchmarks.callback import callback_url
from demo.simulator import running_simulator
from local_airflow import PROCESSES, DagRun, LocalAirflow, TaskInstance
from local_airflow.client import wait_until
from local_airflow.redis import Redis, running_redis
from local_airflow.settings import free_port
from tests.hostile import COMPLETED, PROCESSING, HostileServer, in_background, reply
from tests.system import test_outcomes as with_local_executor
from tests.system.conftest import FinishedRun
from tests.system.counting import CountingServer, counting
from tests.system.echoes import KEY
from tests.system.scaled_out import CALLS_BACK, CELLS, DEFERRED, HANGS, HELD, OUTCOME_DAGS, QUEUE, held_id
from tests.system.table import CONNECTIONS, Cell

pytestmark = [
    pytest.mark.system,
    pytest.mark.large,
    pytest.mark.xdist_group("celery"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="before 3.3 Airflow keeps no state between tries"),
]

WORKERS, TRIGGERERS = ("celery-worker", "celery-worker-2"), ("triggerer", "triggerer-2")
PATIENT = 240
"""Seconds, on a machine that does other things as well."""

POKING = ("poke_retried", "poke_failed")
SUBMITS = ("before_the_store", "after_the_store")


@dataclass
class Course:
    """What has happened to an Airflow, after all has."""

    run: Callable[[str], FinishedRun]
    """What a DAG's only run has left."""
    created: Counter[str]
    """How many SeeAny tasks were created, by their label."""
    workers: set[str] = field(default_factory=set)
    """The Celery workers that ran the outcomes."""
    routed_to: str | None = None
    """The triggerer that got the wait with a queue of its own."""
    moved: Counter[str] = field(default_factory=Counter)
    """The waits that a killed triggerer had, and how many of them another one took over."""


@pytest.fixture(scope="module")
def course(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Course]:
    """Let waits of all kinds end, then kill a worker, a triggerer and Redis under others."""
    home = tmp_path_factory.mktemp("celery") / "home"
    secret, port = secrets.token_hex(32), free_port()
    api = HostileServer()
    with ExitStack() as stack:
        redis = stack.enter_context(running_redis())
        server = stack.enter_context(counting())
        stack.enter_context(in_background(api.serve))
        simulator = stack.enter_context(running_simulator(home.with_name("simulator.log")))
        url = callback_url(secret, f"http://127.0.0.1:{port}", CALLS_BACK)
        calls_back = stack.enter_context(running_simulator(home.with_name("calls-back.log"), callback_url=url))
        airflow = stack.enter_context(
            LocalAirflow(
                home,
                Path(__file__).with_name("scaled_out_dags"),
                env=environment(redis, postgres_url, secret),
                processes=(*PROCESSES, "celery-worker"),
                replicas={"scheduler": 2, "triggerer": 2, "celery-worker": 2},
                arguments={
                    "triggerer": ("--queues", "default"),
                    "triggerer-2": ("--queues", f"default,{QUEUE}"),
                    "celery-worker": ("--celery-hostname", "one", "--queues", f"default,{QUEUE}"),
                    "celery-worker-2": ("--celery-hostname", "two", "--queues", "default"),
                },
                database_url=postgres_url,
                port=port,
                wait_for_dags=[*OUTCOME_DAGS, "kinds", "faults"],
                start_timeout=PATIENT,
            )
        )
        for (dialect, is_refused), conn_id in CONNECTIONS.items():
            key = "sk-bad-key" if is_refused else KEY
            airflow.create_connection(conn_id, conn_type="seeany", host=simulator, password=key, extra={"api": dialect})
        for conn_id, host in ((CALLS_BACK, calls_back), (HELD, api.url)):
            airflow.create_connection(conn_id, conn_type="seeany", host=host, password=KEY)
        yield run_course(airflow, redis, api, server)


def environment(redis: Redis, database_url: str, secret: str) -> dict[str, str]:
    """Return what makes an Airflow run its tasks by Celery, and notice soon what was killed."""
    return {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW__CELERY__BROKER_URL": redis.url,
        "AIRFLOW__CELERY__RESULT_BACKEND": f"db+{database_url}",
        "AIRFLOW__CELERY__WORKER_CONCURRENCY": "8",
        "AIRFLOW__TRIGGERER__QUEUES_ENABLED": "True",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "15",
        "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "3",
        "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
    }


def run_course(airflow: LocalAirflow, redis: Redis, api: HostileServer, server: CountingServer) -> Course:
    """Let all happen."""
    conf = {"url": server.url}
    runs = {dag_id: airflow.trigger_dag(dag_id, conf=conf) for dag_id in (*OUTCOME_DAGS, "kinds")}

    @cache
    def finished(dag_id: str) -> FinishedRun:
        return FinishedRun(airflow, airflow.wait_for_run(runs[dag_id], timeout=PATIENT))

    for dag_id in runs:
        finished(dag_id)
    course = Course(finished, server.created)
    course.workers = {name for name in WORKERS if "succeeded in" in airflow.log_files()[name].read_text()}

    set_status(api, (*POKING, *DEFERRED, "meanwhile"), PROCESSING)
    run = runs["faults"] = airflow.trigger_dag("faults", conf=conf)
    lose_a_worker(airflow, run, api, server)
    course.routed_to, course.moved = lose_a_triggerer(airflow, run)
    lose_redis(airflow, run, redis, api)
    set_status(api, ("poke_retried", *DEFERRED), COMPLETED)
    finished("faults")
    airflow.check()
    return course


def lose_a_worker(airflow: LocalAirflow, run: DagRun, api: HostileServer, server: CountingServer) -> None:
    """Kill a worker with waits in poke mode and with tasks that have just created a SeeAny task."""
    waiting = {held_id(task_id) for task_id in (*POKING, *DEFERRED, "meanwhile")}
    until(lambda: waiting <= polled(api), "every wait is polled")
    until(lambda: set(SUBMITS) <= set(server.created), "both tasks are created")
    for task_id in DEFERRED:
        airflow.wait_for_task(run, task_id, {"deferred"}, timeout=PATIENT)
    # A scheduler that never hears of it from a killed worker believes that it still runs there. Then it ignores that
    # the message for the same try could not be sent, and the task stays queued for `task_queued_timeout`.
    until(lambda: has_heard_of_end(airflow, "meanwhile"), "the scheduler knows that its worker is done")
    until(lambda: HANGS in airflow.log(run, "after_the_store"), "the id is stored")
    airflow.process(WORKERS[0]).kill()
    airflow.restart(WORKERS[0], timeout=PATIENT)
    for task_id in ("poke_failed", *SUBMITS):
        airflow.wait_for_task(run, task_id, {"success", "failed"}, timeout=PATIENT)
    until(lambda: task(airflow, run, "poke_retried").try_number == 2, "a wait in poke mode is retried")
    airflow.wait_for_task(run, "poke_retried", {"running"}, timeout=PATIENT)


def has_heard_of_end(airflow: LocalAirflow, task_id: str) -> bool:
    """Return whether Celery has told a scheduler that the worker of a task is done."""
    lines = (
        line for name in ("scheduler", "scheduler-2") for line in airflow.log_files()[name].read_text().splitlines()
    )
    return any("event with state success" in line and f"task_id='{task_id}'" in line for line in lines)


def lose_a_triggerer(airflow: LocalAirflow, run: DagRun) -> tuple[str | None, Counter[str]]:
    """Kill the triggerer of most waits; return who had the wait with a queue of its own, and what moved."""
    names = {airflow.job_id(name): name for name in TRIGGERERS}

    def owners() -> dict[str, int | None]:
        return {task_id: task(airflow, run, task_id).triggerer_id for task_id in DEFERRED}

    until(lambda: None not in owners().values(), "every wait has a triggerer")
    before = owners()
    killed = before["sensor"]
    assert killed is not None
    airflow.process(names[killed]).kill()
    shared = [task_id for task_id in DEFERRED if task_id != "routed" and before[task_id] == killed]
    until(lambda: not {owners()[task_id] for task_id in shared} & {killed, None}, "the waits have moved")
    airflow.restart(names[killed], timeout=PATIENT)
    return names.get(before["routed"] or 0), Counter(shared)


def lose_redis(airflow: LocalAirflow, run: DagRun, redis: Redis, api: HostileServer) -> None:
    """Kill Redis, let a SeeAny task end, and start Redis again once a try was lost by that."""
    redis.kill()
    set_status(api, ["meanwhile"], COMPLETED)
    airflow.wait_for_task(run, "meanwhile", {"up_for_retry"}, timeout=PATIENT)
    redis.start()


def task(airflow: LocalAirflow, run: DagRun, task_id: str) -> TaskInstance:
    """Return a task instance."""
    (found,) = (each for each in airflow.task_instances(run) if each.task_id == task_id)
    return found


def set_status(api: HostileServer, task_ids: Iterable[str], status: dict[str, object]) -> None:
    """Let the SeeAny tasks of these waits be as this one from now on."""
    for seeany_id in map(held_id, task_ids):
        api.script(reply(200, {**status, "id": seeany_id}), task_id=seeany_id)


def polled(api: HostileServer) -> set[str]:
    """Return the ids of the SeeAny tasks that were polled."""
    return {request.task_id for request in tuple(api.requests)}


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until something has happened."""
    wait_until(condition, timeout=PATIENT, poll_seconds=0.5, describe=lambda: f"not so: {what}")


TESTS_OF_OUTCOMES = {
    "completed": with_local_executor.test_a_completed_task_succeeds_with_the_same_xcoms_and_links_in_every_mode,
    "failed": with_local_executor.test_a_failure_gives_its_reason_and_is_never_retried,
    "skipped": with_local_executor.test_soft_fail_skips_and_logs_the_reason,
}


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_wait_ends_as_with_local_executor(course: Course, cell: Cell) -> None:
    end = "skipped" if cell.soft_fail else "completed" if cell.outcome == "completed" else "failed"
    TESTS_OF_OUTCOMES[end](course.run, cell)


@pytest.mark.parametrize("cell", [cell for cell in CELLS if "worker_free" in cell.mode], ids=str)
def test_with_triggerer_queues_a_worker_free_wait_starts_in_a_worker_and_says_so(course: Course, cell: Cell) -> None:
    assert "queues_enabled is on" in course.run(cell.dag_id).log(cell.task_id)


def test_a_batch_a_submit_and_callbacks_succeed(course: Course) -> None:
    run = course.run("kinds")

    assert {task_id: each.state for (task_id, _), each in run.tasks.items()} == dict.fromkeys(
        ("batch", "submit", "callback", "callback_worker_free"), "success"
    )
    assert len(run.xcoms("batch")["return_value"]["tasks"]) == 20  # type: ignore[index]
    assert run.xcoms("submit")["return_value"]["id"] == "video-0s-submit-1"  # type: ignore[index]


def test_both_workers_and_the_right_triggerer_took_part(course: Course) -> None:
    # Or all of this would prove nothing.
    assert course.workers == set(WORKERS)
    assert course.routed_to == "triggerer-2"


# The state and the number of tries of what was running in the killed worker.
LOST_WITH_THE_WORKER = {
    "poke_retried": ("success", 2),
    "poke_failed": ("failed", 1),
    "before_the_store": ("failed", 2),
    "after_the_store": ("success", 2),
}


@pytest.mark.parametrize("task_id", LOST_WITH_THE_WORKER)
def test_what_a_killed_worker_ran_is_retried_if_it_has_retries(course: Course, task_id: str) -> None:
    ended = course.run("faults").task(task_id)

    assert (ended.state, ended.try_number) == LOST_WITH_THE_WORKER[task_id]


def test_a_killed_worker_never_makes_a_task_be_paid_for_twice(course: Course) -> None:
    assert course.created == {"submit": 1, **dict.fromkeys(SUBMITS, 1)}
    assert "SeeAnySubmissionUnknown" in course.run("faults").log("before_the_store")


@pytest.mark.parametrize("task_id", DEFERRED)
def test_a_deferred_wait_outlives_a_worker_a_triggerer_and_redis(course: Course, task_id: str) -> None:
    ended = course.run("faults").task(task_id)

    assert (ended.state, ended.try_number) == ("success", 1)
    assert course.moved["sensor"] == 1


def test_a_wait_that_ends_while_redis_is_away_needs_a_retry(course: Course) -> None:
    ended = course.run("faults").task("meanwhile")

    assert ended.state == "success"
    assert ended.try_number > 1
