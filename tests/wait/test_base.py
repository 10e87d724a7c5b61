"""The parameters of a wait, however they are given: in the task, by default_args, mapped, or set later."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import DAG

from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.operators.task import SeeAnyTaskResultOperator
from airflow_provider_seeany.sensors.batch import SeeAnyTaskBatchSensor
from airflow_provider_seeany.sensors.task import SeeAnyTaskSensor
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator
from tests.waits import KINDS, TASK_SETTINGS, interval, wait

each_kind = pytest.mark.parametrize("kind", KINDS)
GIVEN = {
    "seeany_conn_id": "studio",
    "timeout": 77,
    "max_poll_interval": 5,
    "worker_free": True,
    "accept_partial": False,
}


def parameters(kind: type[BaseTaskWaitOperator], **more: Any) -> dict[str, Any]:
    return {**GIVEN, **interval(kind, 3), **more}


def given_in(waiting: Any) -> dict[str, Any]:
    """Return what was made of these parameters."""
    settings = waiting.wait_settings
    return {
        "seeany_conn_id": waiting.seeany_conn_id,
        "timeout": settings.timeout,
        "max_poll_interval": settings.max_poll_interval,
        "worker_free": waiting.worker_free,
        "accept_partial": settings.accept_partial,
        **interval(type(waiting), settings.poll_interval),
    }


@each_kind
def test_defaults_are_those_of_the_documentation(kind: Any) -> None:
    assert wait(kind).wait_settings == TASK_SETTINGS


@each_kind
def test_default_args_of_the_dag_count_unless_the_task_says_otherwise(kind: Any) -> None:
    with DAG("dag", schedule=None, default_args=parameters(kind)):
        inherited, own = wait(kind), wait(kind, task_id="own", timeout=5)

    assert given_in(inherited) == parameters(kind)
    assert given_in(own) == parameters(kind, timeout=5)


@each_kind
@pytest.mark.parametrize("name", ["timeout", "max_poll_interval", "callback_poll_interval"])
@pytest.mark.parametrize("seconds", [0, "{{ 3 }}", float("nan"), float("inf")], ids=repr)
def test_invalid_seconds_in_default_args_are_refused_by_name_as_well(kind: Any, name: str, seconds: Any) -> None:
    with (
        DAG("dag", schedule=None, default_args={name: seconds}),
        pytest.raises(ValueError, match=f"^{name} must be a number of seconds above 0"),
    ):
        wait(kind)


@each_kind
@pytest.mark.parametrize("how", ["partial", "default_args", "expand_kwargs"])
def test_a_mapped_wait_takes_every_parameter(kind: Any, how: str) -> None:
    with DAG("dag", schedule=None, default_args=parameters(kind) if how == "default_args" else {}):
        if how == "expand_kwargs":
            mapped = kind.partial(task_id="wait").expand_kwargs([parameters(kind, seeany_task_id="x")])
            resolved = parameters(kind, seeany_task_id="x")
        else:
            partial = parameters(kind) if how == "partial" else {}
            mapped = kind.partial(task_id="wait", **partial).expand(seeany_task_id=["x", "y"])
            resolved = {"seeany_task_id": "x"}

    unmapped = mapped.unmap(resolved)

    assert given_in(unmapped) == parameters(kind)
    assert unmapped.seeany_task_id == "x"


@each_kind
def test_a_parameter_that_does_not_exist_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="seeany_taks_id"):
        kind.partial(task_id="wait", seeany_taks_id="x")
    with pytest.raises(TypeError, match="timeuot"):
        wait(kind, timeuot=3)


@each_kind
def test_a_missing_id_is_named(kind: Any) -> None:
    with pytest.raises(TypeError, match="'seeany_task_id'"):
        kind(task_id="wait")


@each_kind
def test_what_is_set_after_init_counts_as_a_cluster_policy_does_it(kind: Any) -> None:
    waiting = wait(kind)
    for name, value in {**interval(kind, 3), "timeout": 77, "max_poll_interval": 5, "do_xcom_push": False}.items():
        setattr(waiting, name, value)

    settings = waiting.wait_settings
    assert (settings.poll_interval, settings.timeout, settings.max_poll_interval) == (3, 77, 5)
    assert settings.do_xcom_push is False
    assert waiting.worker_part.settings == settings


@each_kind
def test_every_setting_is_an_attribute_and_none_a_forgotten_default(kind: Any) -> None:
    waiting = wait(kind)

    assert [name for name in TASK_SETTINGS.__struct_fields__ if not hasattr(waiting, name)] == []


@pytest.mark.parametrize("kind", [*KINDS, SeeAnyTaskBatchSensor, SeeAnySubmitOperator])
def test_every_parameter_is_documented_in_the_class_that_takes_it(kind: type) -> None:
    ours = [each for each in kind.__mro__ if each.__module__.startswith("airflow_provider_seeany.")]
    for each in ours:
        if "__init__" in vars(each):
            taken = inspect.signature(vars(each)["__init__"]).parameters.keys() - {"self", "kwargs"}
            assert taken == set(re.findall(r":param (\w+):", each.__doc__ or ""))


PARAMETERS = [
    (SeeAnyTaskSensor, "poke_interval"),
    (SeeAnyTaskSensor, "timeout"),
    (SeeAnyTaskSensor, "max_poll_interval"),
    (SeeAnyTaskResultOperator, "poll_interval"),
    (SeeAnyTaskResultOperator, "timeout"),
    (SeeAnyTaskResultOperator, "max_poll_interval"),
]
BAD_SECONDS = [0, -1, float("nan"), float("inf"), 1e20, "3", True, None, timedelta(0), timedelta(seconds=-1)]


@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
@pytest.mark.parametrize("seconds", BAD_SECONDS, ids=repr)
def test_invalid_seconds_are_refused_by_name_when_the_dag_file_is_parsed(kind: Any, name: str, seconds: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} must be a number of seconds above 0"):
        wait(kind, **{name: seconds})


@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
@pytest.mark.parametrize("seconds", [90, 90.0, timedelta(minutes=1.5)], ids=repr)
def test_seconds_can_be_a_number_or_a_timedelta(kind: Any, name: str, seconds: Any) -> None:
    assert getattr(wait(kind, **{name: seconds}), name) == 90


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seconds", [45.5, timedelta(seconds=45.5)])
def test_the_maximum_interval_reaches_the_trigger(kind: Any, seconds: timedelta | float) -> None:
    waiting = kind(task_id="wait", seeany_task_id="x", max_poll_interval=seconds)

    assert waiting.worker_part.trigger().settings["max_poll_interval"] == 45.5


WAIT_TIMES: dict[str, tuple[Any, dict[str, Any]]] = {
    "number": (40, {}),
    "timedelta": (timedelta(seconds=40), {}),
    "text": ("40", {}),
    "template": ("{{ params.wait_time }}", {}),
    "native rendering": ("{{ params.wait_time }}", {"render_template_as_native_obj": True}),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", WAIT_TIMES)
@pytest.mark.parametrize("is_mapped", [False, True], ids=["single", "mapped"])
def test_the_expected_duration_reaches_the_trigger_however_it_is_given(kind: Any, given: str, is_mapped: bool) -> None:
    value, of_dag = WAIT_TIMES[given]
    with DAG("dag", schedule=None, **of_dag):
        if is_mapped:
            mapped = kind.partial(task_id="wait", seeany_task_id="x").expand(expected_duration=[value])
            waiting = mapped.unmap({"expected_duration": value})
        else:
            waiting = wait(kind, expected_duration=value)

    waiting.render_template_fields({"params": {"wait_time": 40}})

    assert waiting.worker_part.trigger().expected_duration == 40


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rendered", ["soon", "-5", "nan", float("inf"), {"wait_time": 40}], ids=repr)
def test_an_expected_duration_that_cannot_be_one_costs_a_warning_and_not_the_wait(
    kind: Any, rendered: Any, caplog: pytest.LogCaptureFixture
) -> None:
    trigger = wait(kind, expected_duration=rendered).worker_part.trigger()

    assert trigger.expected_duration is None
    assert [record.levelname for record in caplog.records if "expected_duration" in record.message] == ["WARNING"]
