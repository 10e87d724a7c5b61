"""
Runs 100 000 waits at once as one triggerer process would, or ``--waits``: ``python -m benchmarks.triggerer``.

Real are Airflow's own loop of a triggerer's child (``TriggerRunner``), which decrypts the arguments, makes and runs the
triggers, collects their events and logs; this provider's trigger, hook and client; and aiohttp. The waits start over
200 s, all run for 100 s, and end over the next 200 s, with exact estimates and the sensor's default settings. Each has
the deadline and the last response that a worker would have given it. A wait that is started by Airflow without a
worker holds more than these.

Simulated are:

- the clock (``benchmarks.jumping_clock``): it runs while this thread computes, and jumps instead of sleeping;
- the network: responses come 50 ms after the request, through memory instead of a socket, from the server of the other
  benchmarks, which here runs in this process;
- the supervisor and Airflow's database: it answers every message at once, and stores nothing. What it would take for
  so many starts and ends is measured by ``benchmarks.scale``.

The CPU time is without that of the server and the supervisor. The memory is that of the whole process.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from statistics import quantiles
from typing import TYPE_CHECKING, Any, cast

from benchmarks.jumping_clock import JumpingClock
from benchmarks.process import late_by, peak_mib
from benchmarks.spread import verdict
from benchmarks.stub import Connection, task_id

if TYPE_CHECKING:
    from airflow.executors.workloads.trigger import RunTrigger

WAITS = 100_000
STARTING = 200.0
ALL_RUN = 100.0
ENDING = 200.0
REQUEST_SECONDS = 0.05
TIMEOUT = 3600.0
MAX_CONNECTIONS = 1000
MAX_MIB = 2048
SEED = 20261127


@dataclass
class Measured:
    """What was seen of the waits."""

    events: int = 0
    completed: int = 0
    most_at_once: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds from the end of each task to its event."""
    lag: list[float] = field(default_factory=list)
    """Seconds by which sleeps of 0.1 s ended late."""


class Supervisor:
    """
    What a triggerer's child sends its messages to.

    :param ends: when each wait's task ends, in seconds after the start.
    """

    def __init__(self, ends: Sequence[float], *, clock: JumpingClock) -> None:
        self.measured = Measured()
        self.runner: Any = None
        self._clock = clock
        self._began = clock.time()
        self._ends = [self._began + end for end in ends]
        self._made = 0

    async def asend(self, message: Any) -> Any:
        """Answer at once."""
        from airflow.sdk.execution_time import comms

        if isinstance(message, comms.GetTaskStates):
            states = dict.fromkeys(message.task_ids or (), "deferred")
            return comms.TaskStatesResult(task_states=dict.fromkeys(message.run_ids or (), states))
        if isinstance(message, comms.GetXCom):
            return comms.XComResult(key=message.key, value=None)
        if isinstance(message, comms.SetXCom | comms.DeleteXCom):
            return comms.OKResponse(ok=True)
        return self._sync(message)

    def _sync(self, message: Any) -> Any:
        from airflow.executors.workloads.trigger import RunTrigger
        from airflow.jobs.triggerer_job_runner import messages

        with self._clock.stopped():
            self._count(message)
            made = [workload.model_dump_json() for workload in self._due()]
            if self.measured.events == len(self._ends):
                self.runner.stop = True
        # In reality they come as text, too: no two share their strings.
        return messages.TriggerStateSync(
            to_create=[RunTrigger.model_validate_json(each) for each in made], to_cancel=set()
        )

    def _count(self, message: Any) -> None:
        from airflow_provider_seeany.api.outcome import Finished, decode_outcome

        seen, now = self.measured, self._clock.time()
        if message.failures:
            raise RuntimeError(f"a trigger failed: {message.failures[0]}")
        for entry in message.events or ():
            seen.events += 1
            outcome = decode_outcome(entry.event.payload)
            seen.completed += isinstance(outcome, Finished) and outcome.payload["status"] == "completed"
            seen.delays.append(now - self._ends[entry.trigger_id])
        seen.most_at_once = max(seen.most_at_once, self._made - seen.events)

    def _due(self) -> Iterator[RunTrigger]:
        """Yield the waits that have started by now."""
        share = min((self._clock.time() - self._began) / STARTING, 1)
        for number in range(self._made, round(share * len(self._ends))):
            yield _workload(number, self._ends[number], now=self._clock.time())
            self._made += 1


def _workload(number: int, end: float, *, now: float) -> RunTrigger:
    """Return what the supervisor sends of a wait that a worker has deferred."""
    from airflow.executors.workloads.task import TaskInstanceDTO
    from airflow.executors.workloads.trigger import RunTrigger
    from airflow.models.trigger import Trigger

    from airflow_provider_seeany.triggers.task import SeeAnyTaskTrigger

    trigger = SeeAnyTaskTrigger(
        seeany_task_id=str(task_id(number, ends_ms=round(end * 1000))),
        settings={
            "poll_interval": 10,
            "max_poll_interval": 30,
            "timeout": TIMEOUT,
            "do_xcom_push": True,
            "accept_partial": True,
            "expect_callback": False,
            "callback_poll_interval": 120,
        },
        deadline=now + TIMEOUT,
        first_poll_at=now + 2,
        last_snapshot={"status": "processing", "progress": 65, "estimated_remaining": round(end - now), "at": now},
    )
    classpath, kwargs = trigger.serialize()
    ti = TaskInstanceDTO(
        id=uuid.uuid4(),
        dag_id=f"videos_{number // 100}",
        task_id="wait_for_video",
        run_id=f"scheduled__2026-11-27T00:00:{number % 100:02}+00:00",
        try_number=1,
        dag_version_id=uuid.uuid4(),
        pool_slots=1,
        priority_weight=1,
        context_carrier={},
    )
    return RunTrigger(
        id=number,
        classpath=classpath,
        encrypted_kwargs=Trigger.encrypt_kwargs(kwargs),
        ti=ti,
        timeout_after=datetime.fromtimestamp(now, UTC) + timedelta(seconds=TIMEOUT + 300),
    )


class _Memory(asyncio.Transport):
    """A client's connection to the server of the benchmarks, in this process."""

    def __init__(self, client: asyncio.Protocol, *, clock: JumpingClock) -> None:
        super().__init__()
        self._client = client
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._server = Connection()
        self._responses: list[bytes] = []
        self._server.connection_made(_Collected(self._responses))
        self._is_closing = False
        client.connection_made(self)

    def write(self, data: Any) -> None:
        self._loop.call_later(REQUEST_SECONDS, self._respond, bytes(data))

    def _respond(self, request: bytes) -> None:
        with self._clock.stopped():
            self._server.data_received(request)
        if not self._is_closing:
            self._client.data_received(b"".join(self._responses))
        self._responses.clear()

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        if not self._is_closing:
            self._is_closing = True
            self._loop.call_soon(self._client.connection_lost, None)

    abort = close


class _Collected(asyncio.Transport):
    def __init__(self, into: list[bytes]) -> None:
        super().__init__()
        self._into = into

    def write(self, data: Any) -> None:
        self._into.append(data)


async def _connect(connector: Any, *_: object, clock: JumpingClock) -> asyncio.Protocol:
    client = cast("asyncio.Protocol", connector._factory())
    _Memory(client, clock=clock)
    return client


async def _sample(lag: list[float]) -> None:
    while True:
        lag.append(await late_by(0.1))


async def _run(supervisor: Supervisor) -> None:
    from airflow.jobs.triggerer_job_runner import TriggerRunner
    from airflow.sdk.execution_time import task_runner

    class Runner(TriggerRunner):
        """A triggerer's child whose supervisor is in the same process."""

        async def init_comms(self) -> None:
            comms: Any = supervisor
            comms._reader_task = asyncio.create_task(asyncio.Event().wait())
            self.comms_decoder = task_runner.SUPERVISOR_COMMS = comms

    supervisor.runner = Runner()  # type: ignore[no-untyped-call]
    sampling = asyncio.create_task(_sample(supervisor.measured.lag))
    await supervisor.runner.arun()
    sampling.cancel()


def _lines(seen: Measured, *, waits: int, before: float, cpu: float, took: float) -> Iterator[str]:
    polls = Connection.requests
    lag, delay = (quantiles(values, n=100) for values in (seen.lag, seen.delays))
    yield f"{waits} waits, {seen.most_at_once} of them at once, {polls / waits:.1f} polls each, in {took:.0f} s.\n"
    yield "| | |"
    yield "|---|---|"
    yield f"| memory of the process at most | {peak_mib():.0f} MiB; before the waits {before:.0f} MiB |"
    yield f"| per wait | {1024 * (peak_mib() - before) / waits:.1f} KiB |"
    yield f"| CPU | {1000 * cpu / waits:.2f} ms per wait, {1000 * cpu / polls:.3f} ms per poll with all else |"
    yield f"| the core is busy | {100 * cpu / took:.0f} % of the time |"
    yield f"| the loop is late by | {lag[49]:.3f} s (median), {lag[94]:.3f} s (p95), {max(seen.lag):.1f} s at most |"
    yield f"| end → event | {delay[49]:.1f} s (median), {delay[94]:.1f} s (p95), {max(seen.delays):.1f} s at most |"
    yield ""
    yield verdict("every wait ends with its result", f"{seen.completed} of {waits}", met=seen.completed == waits)
    if waits == WAITS:
        yield verdict(f"below {MAX_MIB} MiB", f"{peak_mib():.0f} MiB", met=peak_mib() < MAX_MIB)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Run many waits as one triggerer process would.")
    parser.add_argument("--waits", type=int, default=WAITS)
    waits = parser.parse_args().waits
    clock = JumpingClock()
    clock.install()
    # From here on, so that every module has that clock.
    import aiohttp
    from airflow.jobs import triggerer_job_runner  # noqa: F401
    from cryptography.fernet import Fernet

    from airflow_provider_seeany.triggers import task  # noqa: F401
    from benchmarks.contestants import connect
    from benchmarks.poll_cost import logging_as_in_a_triggerer

    os.environ["AIRFLOW__CORE__FERNET_KEY"] = Fernet.generate_key().decode()
    extra = {"max_connections": MAX_CONNECTIONS}
    connect("seeany_default", conn_type="seeany", host="http://127.0.0.1", password="sk-benchmark", extra=extra)
    aiohttp.TCPConnector._create_connection = partialmethod(_connect, clock=clock)  # type: ignore[assignment]
    chance = random.Random(SEED)
    ends = [STARTING + ALL_RUN + chance.uniform(0, ENDING) for _ in range(waits)]
    with logging_as_in_a_triggerer(), asyncio.Runner(loop_factory=clock.loop) as runner:
        supervisor = Supervisor(ends, clock=clock)
        before, began = peak_mib(), clock.monotonic()
        runner.run(_run(supervisor))
    took = clock.monotonic() - began
    cpu = took - clock.slept
    print(*_lines(supervisor.measured, waits=waits, before=before, cpu=cpu, took=took), sep="\n")


if __name__ == "__main__":
    main()
