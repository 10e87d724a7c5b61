"""The choice of the demo by environment variables, and what is rejected before anything starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from demo import plan
from demo.plan import Plan, UsageError, WaitName, plan_of, simulated

KEY = "sk-0123456789-never-shown"


def test_nothing_set_means_the_simulator() -> None:
    assert plan_of({"SEEANY_API_KEY": "", "SEEANY_TASK_ID": " "}) == simulated()


def test_the_plan_of_the_simulator_has_the_ids_of_the_dag() -> None:
    dag = (Path(plan.__file__).parent / "dags" / "seeany_demo.py").read_text(encoding="utf-8")
    for seeany_id in simulated().all_ids.values():
        assert f'"{seeany_id}"' in dag


def test_waits_are_named_as_in_airflow() -> None:
    assert [str(name) for name in simulated().all_ids] == [
        "wait_shoes",
        "wait_bag",
        "wait_developer",
        "wait_many[0]",
        "wait_many[1]",
        "wait_many[2]",
        "wait_refused",
    ]
    assert WaitName("wait_many", 1) in simulated().ids


def test_the_real_service_gets_requests_for_one_task_only() -> None:
    real = plan_of({"SEEANY_API_KEY": f" {KEY}\n", "SEEANY_TASK_ID": "task-1"})
    assert real.is_real
    assert real.api_key == KEY
    assert real.base_url is None
    assert set(real.ids.values()) == {"task-1"}
    assert real.conf["many"] == ["task-1"] * 3
    assert real.refused != "task-1"
    assert real.candidates == ("v1", "developer")
    assert "SeeAnyAuthError" not in real.refusals


def test_one_wait_of_the_simulators_demo_uses_the_other_dialect() -> None:
    apis = simulated().apis
    assert {seeany_id for seeany_id, api in apis.items() if api == "developer"} == {"images-14s-2x-poster"}


@pytest.mark.parametrize("api", ["v1", "developer"])
def test_all_waits_for_the_real_service_use_one_dialect(api: str) -> None:
    real = plan_of({"SEEANY_API_KEY": KEY, "SEEANY_TASK_ID": "task-1", "SEEANY_API": f" {api.upper()}"})
    assert real.candidates == (api,)
    speaking = real.speaking(api)
    assert set(speaking.connections.values()) == set(speaking.apis.values()) == {api}
    assert set(speaking.connections) == set(real.connections)


@pytest.mark.parametrize(
    ("environment", "text"),
    [
        ({"SEEANY_API_KEY": KEY}, "SEEANY_TASK_ID is not"),
        ({"SEEANY_TASK_ID": "task-1"}, "SEEANY_API_KEY is not"),
        ({"SEEANY_BASE_URL": "http://127.0.0.1:1"}, "neither SEEANY_API_KEY nor SEEANY_TASK_ID"),
        ({"SEEANY_API": "v1"}, "neither SEEANY_API_KEY nor SEEANY_TASK_ID"),
        ({"SEEANY_API_KEY": KEY, "SEEANY_TASK_ID": "x", "SEEANY_API": KEY}, "SEEANY_API must be v1 or developer"),
        ({"SEEANY_API_KEY": f"{KEY} x", "SEEANY_TASK_ID": "task-1"}, "SEEANY_API_KEY cannot be used"),
        ({"SEEANY_API_KEY": f"{KEY}–", "SEEANY_TASK_ID": "task-1"}, "SEEANY_API_KEY cannot be used"),
        ({"SEEANY_API_KEY": KEY, "SEEANY_TASK_ID": "{{ x }}"}, "SEEANY_TASK_ID cannot be used"),
        (
            {"SEEANY_API_KEY": KEY, "SEEANY_TASK_ID": "task-1", "SEEANY_BASE_URL": "ftp://x"},
            "SEEANY_BASE_URL cannot be used",
        ),
        (
            {"SEEANY_API_KEY": KEY, "SEEANY_TASK_ID": "task-1", "SEEANY_BASE_URL": "http://example.com"},
            "unencrypted",
        ),
    ],
)
def test_a_usage_error_does_not_show_the_key(environment: dict[str, str], text: str) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        plan_of(environment)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("made", [simulated(), plan.real(KEY, "task-1", None)])
def test_a_plan_does_not_show_its_key(made: Plan) -> None:
    assert made.api_key not in repr(made)
