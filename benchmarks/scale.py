"""
Measures many waits at once on a real Airflow: ``make bench-scale``, or ``python -m benchmarks.scale``, prints tables.

Airflow runs with ``LocalExecutor`` on PostgreSQL, each a private one. Each argument names ways, and numbers of waits:
``sensor,worker_free=100,1000x30`` measures these two with 100 waits in one DAG, then with 1000 spread over 30 DAGs. All
waits of a measurement start at once and poll every 5 s over TLS. No remote task ends before each has been asked about
(but for a batch with callbacks, which asks about few of them before) and each wait is deferred, or the time limit is
over. Then they end one after the other, ``--ends-per-second`` of them, the first 20 s later. From then on SeeAny's have
an exact estimate. Each measurement begins with a fresh triggerer, which has ended two waits.

CPU, transactions and rows are those of all processes, from the start until 10 s after the end, minus what the same
Airflow takes in that time when idle, measured just before for 30 s. A wait has no downstream task: it ends as
``success``, with its result as XComs. ``dbt Cloud`` pushes only the id of its run; ``dbt Cloud, with its result`` is
the same sensor with one more request, at the end, for the run's artifact, which it pushes: the same outcome as ours.
With a callback, the end of a remote task is posted to the api-server, and polls in the triggerer are 120 s apart.
A remote end is noticed by the first request that is told of it. A batch is one wait for all: its delay to success is
from the last end, its other figures are per remote task.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import secrets
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import nan
from pathlib import Path
from urllib.parse import quote, urlsplit

import requests

from airflow_provider_seeany.simulator.callback import CallbackSender
from benchmarks.callback import callback_url
from benchmarks.scale_counters import Database, PeakMemory, Reading, TaskLogs, per_second
from benchmarks.scale_dags import CALLED_BACK, Plan, installed_ways
from benchmarks.scale_report import Figures, Late, lines
from benchmarks.stub import RELATIVE, Stub, ends_at, running_stub
from local_airflow import DagRun, LocalAirflow
from local_airflow.postgres import running_postgres
from local_airflow.settings import free_port

REPOSITORY = Path(__file__).parents[1]
LEAD = 20.0
REST = 30.0
SETTLE = 10.0
"""Seconds after which each connection of PostgreSQL has reported what it did."""
POLL = 1.0
WARM_UP_WAITS = 2
CONNECTION = "seeany_default"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class Bench:
    """A running Airflow with all that is measured in it."""

    airflow: LocalAirflow
    database: Database
    stub: Stub
    callback_url: str
    time_limit: float
    """Seconds until a start, and until an end, is given up."""

    def get(self, path: str) -> dict[str, float]:
        """Return what the stub counts."""
        response = requests.get(f"{self.stub.http}{path}", timeout=60)
        return dict(response.json())

    def states(self, plan: Plan) -> Counter[str]:
        """Return how many task instances are in which state."""
        query = "SELECT coalesce(state, 'none'), count(*) FROM task_instance WHERE dag_id = ANY(:dags) GROUP BY 1"
        return Counter(dict(map(tuple, self.database.rows(query, dags=plan.dag_ids))))

    def measured(self, warm_up: Plan, plan: Plan) -> Figures:
        """Run one measurement."""
        self.airflow.restart("triggerer", timeout=120)
        self._run(warm_up, lead=LEAD / 4)
        time.sleep(SETTLE)
        rest = Reading.now(self.airflow, self.database)
        time.sleep(REST)
        before = Reading.now(self.airflow, self.database)
        idle = per_second(before, rest)
        memory = PeakMemory()
        tables, requests_before = self.database.rows_by_table(), self.get("/count")["requests"]
        with memory.watched(self.airflow, "triggerer"):
            late = self._run(plan, lead=LEAD)
        time.sleep(SETTLE)
        after = Reading.now(self.airflow, self.database)
        used = {name: value - idle[name] * (after.at - before.at) for name, value in after.since(before).items()}
        by_table = self.database.rows_by_table()
        by_table.subtract(tables)
        logs = TaskLogs(self.airflow.home)
        xcoms = self.database.row(
            "SELECT count(*), coalesce(sum(length(value::text)), 0) FROM xcom WHERE dag_id = ANY(:dags)",
            dags=plan.dag_ids,
        )
        return Figures(
            plan=plan,
            used=used,
            requests=self.get("/count")["requests"] - requests_before,
            workers=logs.workers(plan.dag_ids),
            xcoms=xcoms[0],
            xcom_bytes=xcoms[1],
            rows_by_table=by_table,
            triggerer_mib=memory.mib,
            late=late,
            failed=self._failures(plan, logs),
        )

    def _run(self, plan: Plan, *, lead: float) -> Late:
        self.get("/release/0")
        began, runs = time.time(), [self.airflow.trigger_dag(dag_id) for dag_id in plan.dag_ids]
        asked_after, deferred_after = self._started(plan, began)
        release = time.time() + lead
        self.get(f"/release/{round(1000 * release)}")
        with _callbacks(plan, release, self.callback_url):
            self._ended(plan, runs)
        query = "SELECT dag_id, task_id, map_index, extract(epoch FROM end_date) FROM task_instance"
        ends = self.database.rows(f"{query} WHERE state = 'success' AND dag_id = ANY(:dags)", dags=plan.dag_ids)
        delays = [
            float(end) - release - _remote_end(plan, dag_id, task_id, map_index)
            for dag_id, task_id, map_index, end in ends
        ]
        over = max((float(end) for *_, end in ends), default=time.time()) - began
        noticed = sorted(self.get("/noticed").values())
        return Late(asked_after, deferred_after, over, noticed, sorted(delays))

    def _started(self, plan: Plan, began: float) -> tuple[float | None, float | None]:
        """Wait until all have asked and are deferred; return after how many seconds, None for the time limit."""
        deferred_after: float | None = None
        while time.time() < began + self.time_limit:
            time.sleep(POLL)
            self.airflow.check()
            states = self.states(plan)
            if sum(states[each] for each in ("deferred", "failed", "success")) == plan.task_instances:
                deferred_after = deferred_after or time.time() - began
                if plan.way == "batch_callback":
                    return nan, deferred_after
                if len(asked := self.get("/asked")) == plan.waits:
                    return max(asked.values()) - began, deferred_after
        _say(f"{plan.way}: not all have asked after {self.time_limit:g} s: {dict(self.states(plan))}")
        return None, deferred_after

    def _ended(self, plan: Plan, runs: Sequence[DagRun]) -> None:
        until = time.time() + plan.waits / plan.per_second + self.time_limit
        query = "SELECT count(*) FROM dag_run WHERE dag_id = ANY(:dags) AND state IN ('success', 'failed')"
        while self.database.row(query, dags=plan.dag_ids)[0] < plan.dags:
            self.airflow.check()
            if time.time() > until:
                _say(f"{plan.way}: given up with {dict(self.states(plan))}")
                for run in runs:
                    path = f"/dags/{run.dag_id}/dagRuns/{quote(run.run_id, safe='')}"
                    self.airflow.client.request("PATCH", path, json={"state": "failed"})
                return
            time.sleep(POLL)

    def _failures(self, plan: Plan, logs: TaskLogs) -> str:
        query = (
            "SELECT dag_id, task_id FROM task_instance WHERE dag_id = ANY(:dags) AND state IS DISTINCT FROM 'success'"
        )
        failed = self.database.rows(f"{query} ORDER BY end_date", dags=plan.dag_ids)
        return f"{len(failed)} waits: {logs.last_error(*failed[0])}" if failed else ""


def _remote_end(plan: Plan, dag_id: str, task_id: str, map_index: int) -> float:
    """Return the seconds from the release to the end that a wait waits for."""
    if task_id != "wait":
        return ends_at(int(task_id.removeprefix("wait_")))
    ids = plan.ids(plan.dag_ids.index(dag_id))
    return ends_at(ids[map_index]) if map_index >= 0 else max(map(ends_at, ids))


@contextmanager
def _callbacks(plan: Plan, release: float, url: str) -> Iterator[None]:
    """Post the end of each remote task, if the plan's waits expect that."""
    if plan.way not in CALLED_BACK:
        yield
        return
    over = threading.Event()

    async def send() -> None:
        sender = CallbackSender()
        for each in (each for dag in range(plan.dags) for each in plan.ids(dag)):
            body = {"id": str(each), "status": "completed"}
            sender.send_after(max(0.0, release + ends_at(each) - time.time()), url, str(each), body)
        while not over.is_set():
            await asyncio.sleep(POLL)
        await sender.close()

    thread = threading.Thread(target=asyncio.run, args=(send(),))
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def plans(arguments: Sequence[str], per_second: float) -> Iterator[tuple[Plan, Plan]]:
    """
    Yield each measurement: two waits to warm up, and those to measure.

    :param arguments: those of the command line.
    :raises ValueError: if one of them cannot be read, or names an unknown way.
    """
    first, known = 0, installed_ways()
    for argument in arguments:
        ways, _, sizes = argument.partition("=")
        for size in sizes.split(","):
            waits, _, dags = size.partition("x")
            for way in ways.split(","):
                if way not in known:
                    raise ValueError(f"{way!r} is not one of {', '.join(known)}")
                warm_up = Plan(way, WARM_UP_WAITS, 1, first, per_second)
                plan = Plan(way, int(waits), int(dags or 1), first + WARM_UP_WAITS, per_second)
                yield warm_up, plan
                first += plan.waits + WARM_UP_WAITS


def _measured(
    todo: Sequence[tuple[Plan, Plan]], time_limit: float, postgres_url: str, home: Path, stub: Stub
) -> Iterator[Figures]:
    dags, secret, port = home / "dags", secrets.token_hex(32), free_port()
    dags.mkdir(parents=True)
    for plan in (plan for pair in todo for plan in pair):
        for name, text in plan.files():
            (dags / name).write_text(text, encoding="utf-8")
    most = max(plan.waits for _, plan in todo)
    environment = {
        "PYTHONPATH": str(REPOSITORY),
        "AIRFLOW__SEEANY__CALLBACK_SECRET": secret,
        "AIRFLOW__TRIGGERER__CAPACITY": str(max(1000, most + WARM_UP_WAITS)),
        "AIRFLOW__CORE__MAX_MAP_LENGTH": str(max(1024, most)),
        "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "86400",
        # The sensors connect only to this machine; no other certificate is needed.
        **stub.trust(),
    }
    dag_ids = [dag_id for pair in todo for plan in pair for dag_id in plan.dag_ids]
    with (
        LocalAirflow(home, dags, env=environment, database_url=postgres_url, port=port, say=_say) as airflow,
        Database.connected(postgres_url) as database,
    ):
        airflow.wait_for_dags(dag_ids, timeout=600)
        airflow.create_connection(CONNECTION, conn_type="seeany", host=stub.https, password="sk-benchmark")
        host = urlsplit(stub.https).netloc
        airflow.create_connection("dbt_cloud_default", conn_type="dbt_cloud", host=host, login="1", password="sk-b")
        url = callback_url(secret, f"http://127.0.0.1:{port}", CONNECTION)
        bench = Bench(airflow, database, stub, url, time_limit)
        for warm_up, plan in todo:
            figures = bench.measured(warm_up, plan)
            _say("\n".join(lines([figures], cores=os.cpu_count() or 1)))
            yield figures


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description="Measure many waits at once on a real Airflow.")
    every = ",".join(installed_ways())
    parser.add_argument(
        "plans",
        nargs="*",
        metavar="WAYS=WAITS",
        default=[f"{every}=300,300x30"],
        help=f"300x30: 300 waits in 30 DAGs (default: {every}=300,300x30)",
    )
    parser.add_argument("--ends-per-second", type=float, default=5.0, help="default: 5")
    parser.add_argument("--time-limit", type=float, default=3600.0, help="seconds for the start, and for the end")
    options = parser.parse_args()
    try:
        todo = list(plans(options.plans, options.ends_per_second))
    except ValueError as error:
        parser.error(str(error))
    assert max(ends_at(each) for _, plan in todo for each in plan.ids(0)) < RELATIVE / 1000
    # Each callback is a line on standard output, which is the report.
    logging.getLogger(CallbackSender.__module__).setLevel(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, running_stub() as stub, running_postgres() as url:
        figures = list(_measured(todo, options.time_limit, url, Path(folder) / "airflow", stub))
    print(*lines(figures, cores=os.cpu_count() or 1), sep="\n")


if __name__ == "__main__":
    main()
