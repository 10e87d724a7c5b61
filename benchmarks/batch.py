"""
Measures a batch of 10 000 tasks: ``python -m benchmarks.batch`` prints both parts.

The first part simulates the latency caused by a limit of requests per second: all tasks start at once and last as in
``benchmarks.policy``, each request takes 50 ms. The oracle's row is the lower bound: it polls each task once, as soon
as it has ended, delayed only by the limit. The last rows are a batch of 1 000.

With callbacks, of which the trigger reads every 2 s, no task has an estimate, and none has ended when it begins.

"Told once" is the lower bound for whoever learns the end of a task from the first poll of it, exactly, and wastes no
poll after that. All tasks look alike before their first poll, and a task that has certainly ended goes before one
that may have ended, so no order of the polls does better. What separates it from the oracle are first polls that come
too early; at 50 a second the batch with exact estimates is within 1 s of it, so siblings have nothing to tell there.
They were tried all the same, at 50 a second, and are not in ``api/``:

- First the task that has most probably ended since its last poll, by the true distribution of the durations and the
  true ages (1 000 tasks at 5 a second, created at once, or over 100 or 300 s before the wait, without estimates):
  89.3, 69.1 and 77.7 s instead of 89.5, 69.2 and 77.7 s for one after the other. The probability is the highest for
  the task that was polled longest ago, nearly always.
- The scale of the estimates learned from siblings: 74.8 s instead of 76.6 s at ±30 %, and nothing elsewhere, as few
  tasks are polled twice in time. With twenty tasks that are polled three times at the start: 68.9 s instead of 74.2 s
  at high 2× and 85.1 s instead of 86.6 s at low 2×, but 63.1 s instead of 62.1 s for an exact estimate.

The second part measures the trigger against a server in another process.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from heapq import heappop, heappush
from statistics import fmean, median, quantiles

import msgspec

from airflow_provider_seeany.api.batch import Batch
from airflow_provider_seeany.api.settings import BatchSettings
from airflow_provider_seeany.api.task import SeeAnyTask
from airflow_provider_seeany.triggers.batch_callbacks import READ_INTERVAL
from benchmarks.policy import ESTIMATES, SEED, Task, draw_tasks
from benchmarks.poll_cost import logging_as_in_a_triggerer
from benchmarks.process import late_by, resident_mib

TASKS = 10_000
FEW = 1000
REQUEST_SECONDS = 0.05
RATES = (50, 100, 200, 500)
SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class Row:
    """The requests and latencies of one batch."""

    name: str
    requests: float
    latencies: Sequence[float]
    over: float

    def __str__(self) -> str:
        return (
            f"{self.name:40} {self.requests:5.1f} requests a task, noticed {fmean(self.latencies):6.1f} s late "
            f"(p50 {median(self.latencies):6.1f} s, p95 {quantiles(self.latencies, n=20)[-1]:6.1f} s), "
            f"over after {self.over:4.0f} s"
        )


def settings_at(rate: float) -> BatchSettings:
    """Return the defaults of the batch sensor, at a limit."""
    return BatchSettings(
        poll_interval=10,
        max_poll_interval=30,
        timeout=3600,
        do_xcom_push=True,
        max_requests_per_second=rate,
        max_concurrent_requests=20,
        fail_fast=False,
        allow_failures=False,
    )


def play(
    ends: Sequence[float],
    *,
    rate: float,
    estimate: str = "absent",
    callbacks: bool = False,
    lost: Callable[[int], bool] = lambda index: False,
) -> Row:
    """
    Simulate a batch at a limit.

    :param estimate: one of ``benchmarks.policy.ESTIMATES``.
    :param lost: whether the callback about a task, by its index, never comes.
    """
    ids = [str(index) for index in range(len(ends))]
    chance = random.Random(SEED)
    tasks = [Task(end, other, (0, 0)) for end, other in zip(ends, chance.sample(ends, len(ends)), strict=True)]
    called_back = sorted((end, index) for index, end in enumerate(ends) if callbacks and not lost(index))
    called_back_tasks = len(called_back)
    next_read = 0.0 if callbacks else float("inf")
    batch = Batch(
        ids,
        msgspec.structs.replace(settings_at(rate), expect_callback=callbacks),
        deadline=None,
        log=logging.getLogger("quiet"),
        now=0.0,
    )
    now, requests = 0.0, 0
    latencies: list[float] = []
    pending: list[tuple[float, str]] = []
    while batch.outcome(now) is None:
        step = batch.next_request(now)
        if isinstance(step, str):
            requests += 1
            pending.append((now + REQUEST_SECONDS, step))
            continue
        next_poll = min(now + step.seconds, next_read)
        if not pending or pending[0][0] > next_poll:
            now = max(next_poll, now + 1e-6)
            if now >= next_read:
                read = [index for end, index in called_back if end <= now]
                del called_back[: len(read)]
                batch.called_back(read, now)
                next_read = now + READ_INTERVAL
            continue
        now, seeany_task_id = pending.pop(0)
        left = ends[int(seeany_task_id)] - now
        if left <= 0:
            latencies.append(-left)
            batch.receive(seeany_task_id, SeeAnyTask(id=seeany_task_id, status="completed"), now)
        else:
            seconds = ESTIMATES[estimate](tasks[int(seeany_task_id)], now, chance)
            seconds = None if seconds is None else max(round(seconds), 0)
            task = SeeAnyTask(id=seeany_task_id, status="processing", estimated_remaining=seconds)
            batch.receive(seeany_task_id, task, now)
    kind = f"estimate {estimate}"
    if callbacks:
        kind = "callbacks" if called_back_tasks else "callbacks lost"
    others = "" if len(ends) == TASKS else f"{len(ends)} tasks, "
    name = f"{others}{rate} a second, {kind}"
    return Row(name, requests / len(ends), latencies, now)


def oracle(ends: Sequence[float], *, rate: float) -> Row:
    """Return the lower bound at a limit."""
    slot, latencies = 0.0, []
    for end in sorted(ends):
        slot = max(slot + 1 / rate, end)
        latencies.append(slot - end)
    return Row(f"{rate} a second, oracle", 1.0, latencies, slot)


def told_once(ends: Sequence[float], *, rate: float) -> Row:
    """Return the lower bound, at a limit, for whoever learns when a task ends from the first poll of it."""
    now, requests, latencies = 0.0, 0, []
    unknown = list(reversed(ends))
    known: list[float] = []
    while unknown or known:
        if known and known[0] <= now:
            latencies.append(now - heappop(known))
        elif not unknown:
            now = known[0]
            continue
        elif (end := unknown.pop()) <= now:
            latencies.append(now - end)
        else:
            heappush(known, end)
        requests += 1
        now += 1 / rate
    return Row(f"{rate} a second, told once", requests / len(ends), latencies, now)


def rows() -> Iterator[Row]:
    """Simulate each batch."""
    ends = [task.seconds for task in draw_tasks(TASKS)]
    for rate in RATES:
        yield oracle(ends, rate=rate)
        yield told_once(ends, rate=rate)
        for estimate in ESTIMATES:
            yield play(ends, rate=rate, estimate=estimate)
        yield play(ends, rate=rate, callbacks=True)
    few = ends[:FEW]
    yield play(few, rate=50, callbacks=True)
    yield play(few, rate=50, callbacks=True, lost=lambda index: True)
    yield play(few, rate=50, estimate="exact")
    yield play(few, rate=50)


_SERVER = """
import asyncio, time
async def handle(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\\r\\n\\r\\n")
            name = head.split(b" ", 2)[1].rpartition(b"/")[2].decode()
            left = float(name.split("-")[1]) - (time.time() - began)
            body = (f'{{"id":"{name}","status":"processing","estimated_remaining":{round(left)}}}' if left > 0 else
                f'{{"id":"{name}","status":"completed","usage":{{"cost":0.7,"cost_unit":"CNY"}}}}').encode()
            writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(body) + body)
    except (asyncio.IncompleteReadError, OSError):
        writer.close()
async def main():
    global began
    began = time.time()
    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""


async def cost(ids: list[str], *, rate: float, seconds: float) -> str:
    """Run a trigger for a while and return its cost in this process."""
    from airflow_provider_seeany.triggers.batch import SeeAnyTaskBatchTrigger

    async def run(task_ids: list[str]) -> None:
        async for _ in SeeAnyTaskBatchTrigger(
            seeany_task_ids=task_ids, settings=msgspec.to_builtins(settings_at(rate))
        ).run():
            pass

    await run(["t-0-warm"])  # loads aiohttp and the rest, as any trigger does
    memory, cpu, began = resident_mib(), time.process_time(), time.monotonic()
    waiting = asyncio.create_task(run(ids))
    late: list[float] = []
    maximum = memory
    while time.monotonic() < began + seconds and not waiting.done():
        late.append(await late_by(0.1))
        maximum = max(maximum, resident_mib())
    used, took = time.process_time() - cpu, time.monotonic() - began
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    return (
        f"{rate} a second: {100 * used / took:.1f} % of a core, {maximum - memory:.1f} MiB, "
        f"event loop late by {1000 * quantiles(late, n=100)[-1]:.0f} ms (p99), {1000 * max(late):.0f} ms at most, "
        f"in {took:.0f} s"
    )


def main() -> None:
    """Print both parts."""
    for row in rows():
        print(row, flush=True)
    ends = [task.seconds for task in draw_tasks(TASKS)]
    ids = [f"t-{end:.3f}-{index:05}" for index, end in enumerate(ends)]
    for rate in RATES[::3]:
        with subprocess.Popen([sys.executable, "-c", _SERVER], stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            port = int(server.stdout.readline())
            os.environ["AIRFLOW_CONN_SEEANY_DEFAULT"] = f"seeany://:sk-benchmark@127.0.0.1:{port}"
            with logging_as_in_a_triggerer():
                print(asyncio.run(cost(ids, rate=rate, seconds=SECONDS)), flush=True)
            server.terminate()


if __name__ == "__main__":
    main()
