"""Runs the local Airflow on a real PostgreSQL server, with two triggerers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError

from local_airflow import LocalAirflow
from local_airflow.client import wait_until
from local_airflow.postgres import PostgresMissingError, running_postgres

pytestmark = [pytest.mark.system, pytest.mark.large, pytest.mark.xdist_group("local_airflow_postgres")]

DAGS = Path(__file__).parent / "dags"


def _connect(url: str) -> None:
    engine = create_engine(url)
    with engine.connect():
        pass
    engine.dispose()


@pytest.fixture(scope="module")
def database_url() -> Iterator[str]:
    with ExitStack() as stack:
        try:
            url = stack.enter_context(running_postgres())
        except PostgresMissingError as missing:
            pytest.skip(str(missing))
        _connect(url)
        yield url
    with pytest.raises(OperationalError, match="refused"):
        _connect(url)


def test_keeps_strangers_out(database_url: str) -> None:
    with pytest.raises(OperationalError, match="password authentication failed"):
        _connect(database_url.replace("airflow:", "airflow:wrong"))


def test_a_wait_moves_to_the_other_triggerer_when_its_own_is_killed_for_good(database_url: str, tmp_path: Path) -> None:
    airflow = LocalAirflow(
        tmp_path / "home",
        DAGS,
        database_url=database_url,
        replicas={"triggerer": 2},
        wait_for_dags={"waiting", "plain"},
    )
    with airflow:
        triggerers = {airflow.job_id(name): name for name in ("triggerer", "triggerer-2")}
        assert {job.id for job in airflow.jobs("TriggererJob")} == set(triggerers)
        run = airflow.trigger_dag("waiting")
        airflow.wait_for_task(run, "wait", {"deferred"})

        def owner() -> int | None:
            return airflow.task_instances(run)[0].triggerer_id

        wait_until(lambda: owner() is not None, timeout=20, describe=lambda: "no triggerer took the wait")
        killed = airflow.task_instances(run)[0].triggerer_id
        assert killed is not None
        airflow.process(triggerers[killed]).kill()

        wait_until(lambda: owner() not in (killed, None), timeout=60, describe=lambda: "the wait did not move")
        assert airflow.wait_for_run(run).state == "success"
        assert airflow.task_instances(run)[0].try_number == 1


@pytest.mark.parametrize(("name", "text"), [("triggerer", "database_url"), ("worker", "unknown processes")])
def test_several_of_a_process_need_another_database(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        LocalAirflow(tmp_path, DAGS, replicas={name: 2})
