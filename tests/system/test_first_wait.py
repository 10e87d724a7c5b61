"""The first wait of a triggerer, for which Airflow builds an API in it, beside the waits of others."""

from __future__ import annotations

from pathlib import Path

import pytest

from local_airflow import LocalAirflow
from local_airflow.client import wait_until

pytestmark = [pytest.mark.system, pytest.mark.large, pytest.mark.xdist_group("first_wait")]

HERE = Path(__file__).parent


def test_a_triggerer_continues_with_others_while_it_prepares_for_its_first_wait(
    simulator_url: str, database_template: Path, tmp_path: Path
) -> None:
    env = {
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(HERE / "slow_build_plugins"),
        "SLOW_BUILD_SIGNS": str(tmp_path),
    }
    with LocalAirflow(
        tmp_path / "home",
        HERE / "first_wait_dags",
        env=env,
        database_template=database_template,
        wait_for_dags={"first_wait", "others"},
    ) as airflow:
        airflow.create_connection("seeany_default", conn_type="seeany", host=simulator_url, password="sk-demo")
        assert not (tmp_path / "building").exists()  # no cost before the first need

        waits = airflow.trigger_dag("first_wait")
        for task_id in ("sensor", "batch", "worker_free"):
            airflow.wait_for_task(waits, task_id, {"deferred"})
        wait_until((tmp_path / "building").exists, timeout=60, describe=lambda: "no API is built")

        assert airflow.wait_for_run(airflow.trigger_dag("others")).state == "success"
        assert alive_later(airflow)
        assert not (tmp_path / "built").exists()

        (tmp_path / "go_on").touch()
        assert airflow.wait_for_run(waits).state == "success"
        assert (tmp_path / "building").read_text() == "once\n"


def alive_later(airflow: LocalAirflow) -> bool:
    """Return whether the triggerer sends a heartbeat after this moment."""
    before = heartbeat(airflow)
    wait_until(lambda: heartbeat(airflow) > before, timeout=30, describe=lambda: "the triggerer sends no heartbeat")
    return True


def heartbeat(airflow: LocalAirflow) -> float:
    at = airflow.jobs("TriggererJob")[0].latest_heartbeat
    assert at is not None
    return at.timestamp()
