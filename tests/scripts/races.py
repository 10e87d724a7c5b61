"""Lets callbacks and triggers race with all that ends a wait, and prints how often each wait ended: a script."""

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
from airflow.triggers.base import TriggerEvent
from airflow.utils.session import create_session
from sqlalchemy import delete, func, select, text

from airflow_provider_seeany.api.outcome import Finished
from airflow_provider_seeany.callback.registration import registration_key
from airflow_provider_seeany.callback.token import TokenClaims
from airflow_provider_seeany.triggers.channel import Success
from airflow_provider_seeany.triggers.supervisor_api import end_as_success
from airflow_provider_seeany.web.callback.resume import find_waits, note_callback, resume
from tests.state_changes import keep_state_changes, states_after_deferral
from tests.web.callback.waits_in_database import CONNECTION, add_wait, make_database, mark_failed, sweep, wait_anew

PAYLOAD = {"id": "x", "status": "completed", "usage": {"cost": 0.7, "cost_unit": "CNY"}}


how_long_a_callback_takes = [0.04]
how_long_a_poll_takes = [0.04]


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


def poll(seeany_task_id: str, instance_id: Any, *, needs_worker: bool = False, unregisters: bool = True) -> int:
    """
    Do what trigger and supervisor do when the trigger finds the end: unregister, then end the wait.

    Return whether that ended the Airflow task.
    """
    began = time.monotonic()
    with create_session(scoped=False) as session:
        instance = session.get(TaskInstance, instance_id)
        if instance is None or instance.trigger_id is None:
            return 0
        trigger_id, map_index = instance.trigger_id, instance.map_index
    if unregisters:
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
    if not needs_worker:
        has_ended = end_as_success(Success(instance_id, trigger_id, {"return_value": PAYLOAD, "cost": 0.7}))
        how_long_a_poll_takes.append(time.monotonic() - began)
        return has_ended
    with create_session(scoped=False) as session:
        event = TriggerEvent(msgspec.to_builtins(Finished(PAYLOAD)))
        Trigger.submit_event(trigger_id, event, session=session)
    return 0


def race(contender: str, rival: str, number: int, way: str) -> dict[str, Any]:
    """Let two race for one wait; return how it ended."""
    seeany_task_id = f"{contender}-{rival}-{way}-{number}"
    map_index = RACES.index((contender, rival)) * 1000 + list(WAYS).index(way) * 300 + number
    instance_id = add_wait(seeany_task_id, map_index, **WAYS[way])
    acts: dict[str, Callable[[], Any]] = {
        "callback": lambda: call_back(seeany_task_id),
        "poll": lambda: poll(
            # A later try's registration is its own.
            seeany_task_id,
            instance_id,
            needs_worker=not WAYS[way],
            unregisters=rival != "clear",
        ),
        "sweep": lambda: sweep(instance_id),
        "mark failed": lambda: mark_failed(instance_id),
        "clear": lambda: wait_anew(instance_id, seeany_task_id) and 0,
    }
    start, ended, errors = threading.Barrier(2), [0, 0], list[str]()

    def run(place: int, act: Callable[[], Any], lead: float) -> None:
        start.wait()
        time.sleep(lead)
        try:
            ended[place] = int(act() or 0)
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}"[:300])

    # A contender finds the wait first; with these leads, now the one is first, now the other, however busy the machine.
    takes = median((how_long_a_callback_takes if contender == "callback" else how_long_a_poll_takes)[-9:])
    leads = random.uniform(0, takes), random.uniform(0, 2 * takes)
    runs = zip((0, 1), (acts[contender], acts[rival]), leads, strict=True)
    threads = [threading.Thread(target=run, args=each) for each in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    with create_session(scoped=False) as session:
        became = states_after_deferral(session, instance_id)
        here = XComModel.map_index == map_index
        registrations, results, costs = (
            session.scalar(select(func.count()).select_from(XComModel).where(here, XComModel.key == key))
            for key in (registration_key(CONNECTION, seeany_task_id), "return_value", "cost")
        )
    return {
        "became": sorted(became),
        "ended by": ended,
        "registrations": registrations,
        "results": results,
        "costs": costs,
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


RACES = [
    *(("callback", rival) for rival in ("callback", "poll", "sweep", "mark failed")),
    *(("poll", rival) for rival in ("poll", "sweep", "mark failed", "clear")),
]


def main(times: int) -> None:
    """Run every race so many times, with each way in which a wait ends."""
    make_database()
    with create_session(scoped=False) as session:
        keep_state_changes(session)
    results = {
        f"{contender}, {rival}, {way}": Counter(
            json.dumps(race(contender, rival, number, way)) for number in range(times)
        )
        for contender, rival in RACES
        for way in WAYS
        if contender == "callback" or WAYS[way]
    }
    with create_session(scoped=False) as session:
        # For each of them the DAG processor would load the DAG file.
        requested = session.scalar(text("SELECT count(*) FROM callback"))
    notes = Counter(json.dumps(race_of_a_note(number)) for number in range(times))
    print(json.dumps({"results": results, "requested callbacks": requested, "notes": notes}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
