"""A triggerer that is suspended and resumed when its tasks have run again elsewhere, on real Airflow processes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany.callback.registration import KEY_PREFIX
from airflow_provider_seeany.xcoms.record_key import PROGRESS_KEY
from local_airflow import DagRun, LocalAirflow
from local_airflow.client import wait_until
from tests.hostile import HostileServer, Responder, after, in_background, once, reply
from tests.system.conftest import FinishedRun
from tests.system.suspended import ALL, WAITS, batch_ids, seeany_task_id

pytestmark = [
    pytest.mark.large,
    pytest.mark.system,
    pytest.mark.xdist_group("suspended"),
    pytest.mark.skipif(not AIRFLOW_V_3_3_PLUS, reason="triggers write no results before Airflow 3.3"),
]

STARTED = " starting"
HAS_POLLED = ("processing 10 %", "Waiting for 2 SeeAny tasks")
HAS_ENDED = "trigger completed"
"""What the triggerer writes into a trigger's log last."""


PATIENT = {"request_timeout": 900}
"""So that a poll lasts longer than a triggerer is suspended."""

FIRST = [*(seeany_task_id(task_id, 1) for task_id in WAITS), *batch_ids(1)]
"""The SeeAny tasks of the first try."""


def completed(seeany_id: str) -> dict[str, Any]:
    """Return the payload of a SeeAny task that has ended."""
    return {"id": seeany_id, "status": "completed", "video_url": f"https://cdn/{seeany_id}.mp4", "usage": {"cost": 0.7}}


class Held:
    """Polls that get no response until the triggerer is about to be resumed: nothing is written meanwhile."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.is_over = threading.Event()

    def of(self, seeany_id: str, payload: dict[str, Any]) -> Responder:
        """Respond with this in the end."""
        return after(lambda: self.held.add(seeany_id), once(self.is_over, reply(200, payload)))


@dataclass
class Kept:
    """What the task instances had before the triggerer woke up, and after it had ended all of its old triggers."""

    states: dict[str, tuple[str | None, int]] = field(default_factory=dict)
    before: dict[str, dict[str, Any]] = field(default_factory=dict)
    after: dict[str, dict[str, Any]] = field(default_factory=dict)
    links: dict[str, dict[str, str | None]] = field(default_factory=dict)


@pytest.fixture(scope="module")
def kept(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    """Everything, after it has happened."""
    home = tmp_path_factory.mktemp("suspended") / "home"
    api = HostileServer()
    with (
        in_background(api.serve),
        LocalAirflow(
            home,
            Path(__file__).with_name("suspended_dags"),
            database_url=postgres_url,
            replicas={"triggerer": 2},
            wait_for_dags=["suspended"],
        ) as airflow,
    ):
        airflow.create_connection(
            "seeany_default", conn_type="seeany", host=api.url, password="sk-suspended", extra=PATIENT
        )
        yield suspend_and_resume(airflow, api)


def suspend_and_resume(airflow: LocalAirflow, api: HostileServer) -> Kept:
    """Suspend the one triggerer that has the waits, clear them, let the other one end them, and resume the first."""
    kept = Kept()
    airflow.process("triggerer-2").kill()
    for seeany_id in FIRST:
        api.script(reply(200, {"id": seeany_id, "status": "processing", "progress": 10}), task_id=seeany_id)
        second = seeany_id.replace("first", "second")
        api.script(reply(200, completed(second)), task_id=second)
    run = airflow.trigger_dag("suspended")
    _wait_until_all_are_shown(airflow, run)
    last_poll = Held()
    for seeany_id in FIRST:
        continues = {"id": seeany_id, "status": "processing", "progress": 80}
        has_ended = seeany_id.startswith("ended")
        api.script(last_poll.of(seeany_id, completed(seeany_id) if has_ended else continues), task_id=seeany_id)
    wait_until(lambda: last_poll.held >= set(FIRST), timeout=60, describe=lambda: f"polled: {last_poll.held}")
    _wait_until_nothing_is_written(airflow, run)
    airflow.process("triggerer").suspend()
    airflow.client.request(
        "POST",
        "/dags/suspended/clearTaskInstances",
        json={"dry_run": False, "dag_run_id": run.run_id, "only_failed": False, "only_running": False},
    )
    airflow.restart("triggerer-2")
    airflow.wait_for_run(run, timeout=300)
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    kept.before = {task_id: finished.all_xcoms(task_id) for task_id in ALL}
    before = len(triggerer_log(airflow))
    last_poll.is_over.set()
    # First the process in which the triggers run: each has sent its first message before Airflow cancels any.
    airflow.process("triggerer").resume(forks_earlier_by=3)
    _wait_until_all_old_triggers_have_ended(airflow, run, before=before)
    finished = FinishedRun(airflow, airflow.client.dag_run(run))
    kept.states = {task_id: (finished.task(task_id).state, finished.task(task_id).try_number) for task_id in ALL}
    kept.after = {task_id: finished.all_xcoms(task_id) for task_id in ALL}
    kept.links = {task_id: finished.links(task_id) for task_id in WAITS}
    return kept


def triggerer_log(airflow: LocalAirflow) -> str:
    """Return what the triggerer has logged by itself, not into the log of a trigger."""
    return airflow.log_files()["triggerer"].read_text(encoding="utf-8", errors="replace")


def _wait_until_all_are_shown(airflow: LocalAirflow, run: DagRun) -> None:
    """Wait until each wait has polled, and has shown its progress."""
    missing = set(ALL)

    def all_are() -> bool:
        waiting = missing & {task.task_id for task in airflow.task_instances(run) if task.state == "deferred"}
        missing.difference_update(task_id for task_id in waiting if _has_written(airflow, run, task_id))
        return not missing

    wait_until(all_are, timeout=120, poll_seconds=1, describe=lambda: f"these have not polled: {sorted(missing)}")


def _wait_until_nothing_is_written(airflow: LocalAirflow, run: DagRun) -> None:
    """Wait until two looks find the same: what is on its way when a triggerer is suspended would arrive after all."""
    looks: list[Any] = [None]

    def is_same() -> bool:
        looks.append({task_id: airflow.xcoms(run, task_id) for task_id in ALL})
        return bool(looks[-1] == looks[-2])

    wait_until(is_same, timeout=60, poll_seconds=2, describe=lambda: "the progress is still published")


def _has_written(airflow: LocalAirflow, run: DagRun, task_id: str) -> bool:
    log = airflow.log(run, task_id)
    has_polled = STARTED in log and any(text in log for text in HAS_POLLED)
    publishes = WAITS.get(task_id, {}).get("do_xcom_push", True)
    return has_polled and (not publishes or "percent" in airflow.xcoms(run, task_id).get(PROGRESS_KEY, {}))


def _wait_until_all_old_triggers_have_ended(airflow: LocalAirflow, run: DagRun, *, before: int) -> None:
    """
    Wait until the logs say so, or the triggerer: it may close the log of a trigger that has ended before its last line.

    :param before: the size of the triggerer's log when it was resumed.
    """
    missing = set(ALL)

    def all_have() -> bool:
        airflow.check()
        logs = {task_id: airflow.log(run, task_id, try_number=1) for task_id in missing}
        missing.difference_update(task_id for task_id, log in logs.items() if HAS_ENDED in log)
        return not missing or " 0 triggers currently running" in triggerer_log(airflow)[before:]

    wait_until(
        all_have,
        timeout=120,
        poll_seconds=1,
        describe=lambda: f"first triggers not ended: {sorted(missing)}",
    )


@pytest.mark.parametrize("task_id", ALL)
def test_what_the_second_try_left_stays(kept: Kept, task_id: str) -> None:
    assert kept.states[task_id] == ("success", 2)
    before, after = (without_own_registration(xcoms[task_id]) for xcoms in (kept.before, kept.after))
    assert after == before
    assert "first" not in str(after)


def without_own_registration(xcoms: dict[str, Any]) -> dict[str, Any]:
    """Leave out the registration of the first try: it counts for no other, and its own trigger may unregister it."""
    return {key: value for key, value in xcoms.items() if not (key.startswith(KEY_PREFIX) and "first" in str(value))}


@pytest.mark.parametrize("task_id", WAITS)
def test_the_buttons_lead_to_the_result_of_the_second_try(kept: Kept, task_id: str) -> None:
    video = kept.links[task_id]["Watch video"]
    assert video is not None
    assert seeany_task_id(task_id, 2) in video
