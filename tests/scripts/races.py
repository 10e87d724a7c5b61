"""Lets callbacks race with everything else that ends a wait, and prints how often each wait ended: a script."""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from statistics import median
from typing import Any

import msgspec
from airflow.models.taskinstance import TaskInstance
from airflow.models.trigger import Trigger
from airflow.models.xcom import XComModel
from airflow.triggers.base import TaskSuccessEvent, TriggerEvent
from airflow.utils.session import create_session
from sqlalchemy import delete, func, select, text

from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.web.callback.resume import find_waits, note_callback, resume
from tests.state_changes import keep_state_changes, states_after_deferral
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database, mark_failed, sweep, wait_anew

PAYLOAD = {"id": "x", "status": "completed", "usage": {"cost": 0.7, "cost_unit": "CNY"}}


how_long_a_callback_takes = [0.04]


def call_back(seeany_task_id: str) -> int:
    """Do what a callback does once the poll shows that the task has ended; return the number of waits it resumed."""
    began = time.monotonic()
    resumed = sum(resume(wait, Finished(PAYLOAD)) for wait in find_waits(TokenClaims(CONNECTION), [seeany_task_id]))
    how_long_a_callback_takes.append(time.monotonic() - began)
    return resumed


WAYS: dict[str, dict[str, bool]] = {
    "ends in a worker": {},
    "ends in the triggerer": {"end_from_trigger": True},
    "worker-free": {"worker_free": True},
}


def poll(seeany_task_id: str, map_index: int, *, needs_worker: bool) -> None:
    """Do what trigger and triggerer do when the trigger finds the end: unregister, then submit the event."""
    with create_session(scoped=False) as session:
        trigger_id = session.scalar(
            select(TaskInstance.trigger_id).where(TaskInstance.dag_id == "waits", TaskInstance.map_index == map_index)
        )
    if trigger_id is None:
        return
    with create_session(scoped=False) as session:
        session.execute(
            delete(XComModel).where(
                XComModel.dag_id == "waits",
                XComModel.task_id == "wait",
                XComModel.run_id == "run",
                XComModel.map_index == map_index,
                XComModel.key == registration_key(CONNECTION, seeany_task_id),
            )
        )
    event = TriggerEvent(msgspec.to_builtins(Finished(PAYLOAD))) if needs_worker else TaskSuccessEvent()
    with create_session(scoped=False) as session:
        Trigger.submit_event(trigger_id, event, session=session)


def race(name: str, number: int, way: str) -> dict[str, Any]:
    """Let two race for one wait; return how it ended."""
    seeany_task_id = f"{name}-{way}-{number}"
    map_index = RACES.index(name) * 1000 + list(WAYS).index(way) * 300 + number
    instance_id = add_wait(seeany_task_id, map_index, **WAYS[way])
    rivals: dict[str, Callable[[], Any]] = {
        "callback": lambda: call_back(seeany_task_id),
        "poll": lambda: poll(seeany_task_id, map_index, needs_worker=not WAYS[way]),
        "sweep": lambda: sweep(instance_id),
        "mark failed": lambda: mark_failed(instance_id),
    }
    start, ended, errors = threading.Barrier(2), list[int](), list[str]()

    def run(act: Callable[[], Any], lead: float) -> None:
        start.wait()
        time.sleep(lead)
        try:
            ended.append(act() or 0)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])

    # A callback finds the wait first; with these leads, now the one is first, now the other, however busy the machine.
    takes = median(how_long_a_callback_takes[-9:])
    leads = random.uniform(0, takes), random.uniform(0, 2 * takes)
    acts = rivals["callback"], rivals[name]
    threads = [threading.Thread(target=run, args=pair) for pair in zip(acts, leads, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with create_session(scoped=False) as session:
        became = states_after_deferral(session, instance_id)
        registrations = session.scalar(
            select(func.count())
            .select_from(XComModel)
            .where(XComModel.key == registration_key(CONNECTION, seeany_task_id))
        )
        values = session.scalar(
            select(func.count())
            .select_from(XComModel)
            .where(XComModel.map_index == map_index, XComModel.key == "return_value")
        )
    return {
        "became": sorted(became),
        "resumed by callbacks": sum(ended),
        "registrations": registrations,
        "results": values,
        "errors": errors,
    }


how_long_a_new_try_takes = [0.05]


def race_of_a_note(number: int) -> dict[str, Any]:
    """Let a callback that came too early for one try leave its note while the next try registers."""
    seeany_task_id, map_index = f"note-{number}", 10_000 + number
    first_try = add_wait(seeany_task_id, map_index, first_poll_at=time.time() + 3600)
    (found,) = find_waits(TokenClaims(CONNECTION), [seeany_task_id])
    start, noted, this_try = threading.Barrier(2), list[bool](), list[str]()

    def note() -> None:
        start.wait()
        # Now before the other has begun, now after it has ended.
        time.sleep(random.uniform(0, 2 * how_long_a_new_try_takes[-1]))
        noted.append(note_callback(found))

    def try_again() -> None:
        start.wait()
        began = time.monotonic()
        this_try.append(str(wait_anew(first_try, seeany_task_id)))
        how_long_a_new_try_takes.append(time.monotonic() - began)

    threads = [threading.Thread(target=act) for act in (note, try_again)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with create_session(scoped=False) as session:
        query = select(XComModel.value).where(XComModel.key == found.registration.key)
        registration: Any = session.scalar(query)
    is_of_this_try = [registration["task_instance_id"]] == this_try
    return {"noted": noted, "of this try": is_of_this_try, "received": registration["received"]}


RACES = ("callback", "poll", "sweep", "mark failed")


def main(times: int) -> None:
    """Run every race so many times, with each way in which a wait ends."""
    make_database()
    with create_session(scoped=False) as session:
        keep_state_changes(session)
    results = {
        f"{name}, {way}": Counter(json.dumps(race(name, number, way)) for number in range(times))
        for name in RACES
        for way in WAYS
    }
    with create_session(scoped=False) as session:
        # Airflow requests the DAG's success callback of each task instance that no worker ended.
        announced = session.scalar(text("SELECT count(*) FROM callback"))
    notes = Counter(json.dumps(race_of_a_note(number)) for number in range(times))
    print(json.dumps({"results": results, "announced": announced, "notes": notes}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
