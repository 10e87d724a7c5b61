"""Calls back about many tasks of a large batch at once, among other batches, and prints what was noted: a script."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from statistics import median

import msgspec
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from sqlalchemy import select

from airflow_provider_seeany.callback.batch import CALLED_BACK_KEY, CalledBack
from airflow_provider_seeany.web.callback.batches import find_batches, note_callback
from tests.web.callback.waits_in_database import CONNECTION, add_batch, make_database

TASKS = 10_000
BATCHES = 5
CALLBACKS = 400


def main() -> None:
    """Print how many callbacks were noted, for which batch, and how long one took."""
    make_database()
    for number in range(BATCHES):
        add_batch([f"batch-{number}-task-{index}" for index in range(TASKS)], number)

    def call_back(index: int) -> float:
        began, seeany_task_id = time.perf_counter(), f"batch-1-task-{index}"
        (batch,) = find_batches(CONNECTION, seeany_task_id)
        assert note_callback(batch, seeany_task_id)
        return 1000 * (time.perf_counter() - began)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(call_back, range(CALLBACKS)))
    alone = [call_back(index) for index in range(50)]
    query = select(XComModel.map_index, XComModel.value).where(XComModel.key == CALLED_BACK_KEY)
    with create_session(scoped=False) as session:
        noted = {row.map_index: msgspec.convert(row.value, CalledBack) for row in session.execute(query)}
    print(
        json.dumps(
            {
                "numbers": [noted[number].number for number in range(BATCHES)],
                "tasks": len(noted[1].tasks),
                "milliseconds": median(alone),
            }
        )
    )


if __name__ == "__main__":
    main()
