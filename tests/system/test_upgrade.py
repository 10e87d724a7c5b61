"""Waits that were deferred by version 0.1.0, on a real triggerer."""

from __future__ import annotations

import pytest

from local_airflow import LocalAirflow
from tests.system.conftest import FinishedRun

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("airflow")]


def test_a_wait_that_cannot_be_read_fails_at_once_and_its_retry_waits_anew(airflow: LocalAirflow) -> None:
    airflow.wait_for_dags(["deferred_by_0_1"])
    run = FinishedRun(airflow, airflow.wait_for_run(airflow.trigger_dag("deferred_by_0_1")))

    assert (run.task("retried").state, run.task("not_retried").state) == ("success", "failed")
    log = run.log("not_retried")
    assert "Trigger failed" in log
    assert "unexpected keyword argument 'poll_interval'" in log
