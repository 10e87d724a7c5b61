"""The operator that creates a task; how often it does is tested in tests/submit, how it waits in tests/wait."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

import pytest
from airflow.providers.common.compat.sdk import DAG, Asset, TaskDeferred
from airflow.sdk.definitions._internal.contextmanager import DagContext

from airflow_provider_seeany.exceptions import (
    SeeAnyApiError,
    SeeAnyAuthError,
    SeeAnyConfigError,
    SeeAnyRequestError,
    SeeAnyResponseError,
    SeeAnySubmissionUnknown,
    SeeAnyTaskFailed,
    SeeAnyTaskTimeout,
)
from airflow_provider_seeany.operators.submit import SeeAnySubmitOperator
from airflow_provider_seeany.xcoms.raw import RawXCom
from tests.conftest import KEY
from tests.hostile import COMPLETED, FAILED, VIDEO, HostileServer, Responder, never_respond, page, reply, reset, task
from tests.submit.state import Service, State
from tests.waits import LOST, PUSHED, TaskInstance, finished


class Run:
    """A task instance that Airflow runs several times."""

    def __init__(self, **parameters: Any) -> None:
        self.state = State()
        self.ti = TaskInstance()
        self.max_tries = 0
        self._parameters = parameters

    def operator(self, **more: Any) -> Any:
        """Return a new operator, as every try and every resumption has."""
        with nullcontext() if DagContext.get_current() else DAG("waits", schedule=None):
            operator: Any = SeeAnySubmitOperator(task_id="wait", **{**self._parameters, **more})
        operator._cached_logger = logging.getLogger("tests.submit")
        return operator

    def context(self) -> Any:
        """Return as much of a context as the operator uses."""
        vars(self.ti).update(max_tries=self.max_tries, try_number=self.max_tries + 1)
        return {"ti": self.ti, "task_state_store": self.state, "ds": "2026-11-26"}

    def execute(self, **more: Any) -> Any:
        """Run a try from its beginning."""
        return self.operator(**more).execute(self.context())

    def resume(self, left: TaskDeferred, method: str, kwargs: dict[str, Any]) -> Any:
        """Run what comes after a deferral."""
        before = {} if method == "__fail__" else left.kwargs or {}
        return self.operator().resume_execution(method, {**before, **kwargs}, self.context())

    def deferral(self, **more: Any) -> TaskDeferred:
        """Run a try that must defer."""
        with pytest.raises(TaskDeferred) as left:
            self.execute(**more)
        return left.value


def test_it_returns_the_id_and_pushes_the_estimate() -> None:
    run = Run(create=Service(wait_time=40).create)

    assert run.execute() == "wtask_1"
    assert run.ti.pushed == {"wait_time": 40}


def test_what_cannot_be_pushed_or_stored_fails_nothing_once_the_task_exists(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any, **__: Any) -> NoReturn:
        raise RuntimeError("no")

    run = Run(create=Service(wait_time=40).create, outlets=[Asset("s3://studio/videos")])
    run.state = State(fails_at="second set")
    monkeypatch.setattr(run.ti, "xcom_push", fail)
    monkeypatch.setattr(RawXCom, "set", fail)

    assert run.execute() == "wtask_1"
    for what in (
        "The id of SeeAny task wtask_1 could not be stored",
        "wait_time could not be pushed",
        "Budgets do not count this SeeAny task",
        "The UI's record",
        "The asset event",
    ):
        assert what in caplog.text


def test_an_id_that_is_known_is_returned_even_if_the_store_takes_nothing() -> None:
    run = Run(create=Service().create)
    run.execute()
    run.state.fails_at = "set"

    assert run.execute() == "wtask_1"


def test_it_pushes_nothing_that_is_not_there_or_not_wanted() -> None:
    for run in (Run(create=lambda: "vid"), Run(create=Service(wait_time=40).create, do_xcom_push=False)):
        run.execute()
        assert run.ti.pushed == {}


def test_the_callable_gets_its_arguments_and_the_values_of_the_context_that_it_names() -> None:
    def create(prompt: str, *, size: str, ds: str) -> str:
        return f"{prompt}-{size}-{ds}"

    assert Run(create=create, op_args=["cat"], op_kwargs={"size": "2K"}).execute() == "cat-2K-2026-11-26"


WRONG: list[tuple[Callable[..., Any], dict[str, Any]]] = [
    (lambda prompt: prompt, {}),
    (lambda: "x", {"op_args": ["cat"]}),
    (lambda: "x", {"op_kwargs": {"promt": "cat"}}),
]


@pytest.mark.parametrize(("create", "arguments"), WRONG)
def test_wrong_arguments_are_found_before_anything_is_created(
    create: Callable[..., Any], arguments: dict[str, Any]
) -> None:
    run = Run(create=create, **arguments)

    with pytest.raises(SeeAnyConfigError, match="create cannot be called"):
        run.execute()

    assert run.state.values == {}


@pytest.mark.parametrize("parameter", [{"on_clear": "again"}, {"on_unknown": "retry"}, {"poll_interval": 0}])
def test_a_parameter_that_means_nothing_is_refused_where_the_dag_is_written(parameter: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(parameter))):
        Run(create=lambda: "x").operator(**parameter)


def test_it_takes_a_callable_and_no_id() -> None:
    with pytest.raises(TypeError, match="seeany_task_id"):
        Run(create=lambda: "x").operator(seeany_task_id="vid")
    for parameters in ({"create": "vid"}, {}, {"create": print, "payload": {}}):
        with pytest.raises(TypeError, match="either create, a callable"):
            Run(**parameters).operator()


def test_a_mapped_one_takes_each_parameter_and_renders_the_arguments() -> None:
    with DAG("dag", schedule=None, default_args={"timeout": 77}):
        mapped: Any = SeeAnySubmitOperator.partial(task_id="submit", create=print, wait=True).expand(
            op_kwargs=[{"prompt": "cat"}]
        )

    one = mapped.unmap({"op_kwargs": {"prompt": "{{ ds }}"}})
    one.render_template_fields({"ds": "2026-11-26"})

    assert (one.create, one.wait, one.timeout, one.op_kwargs) == (print, True, 77, {"prompt": "2026-11-26"})


waits = pytest.mark.usefixtures("_connected")


@waits
def test_it_waits_and_delivers_what_the_sensor_does(hostile: HostileServer) -> None:
    hostile.script(reply(200, COMPLETED))
    run = Run(create=lambda: {"id": VIDEO, "wait_time": 40}, wait=True)

    assert run.execute()["video_url"] == COMPLETED["video_url"]
    assert run.ti.pushed == {**PUSHED, "wait_time": 40}


@waits
@pytest.mark.parametrize(("given", "expected"), [({}, 40), ({"expected_duration": 7}, 7)])
def test_the_wait_leaves_the_worker_and_knows_its_task_afterwards(
    hostile: HostileServer, given: dict[str, Any], expected: float
) -> None:
    hostile.script(task())
    service = Service(wait_time=40)
    run = Run(create=service.create, wait=True, **given)

    left = run.deferral()

    assert left.trigger.seeany_task_id == "wtask_1"
    assert left.trigger.serialize()[1]["expected_duration"] == expected
    payload = {**COMPLETED, "id": "wtask_1"}
    assert run.resume(left, *finished(payload))["id"] == "wtask_1"
    assert run.ti.pushed == {**PUSHED, "wait_time": 40}
    assert service.created == 1


@waits
def test_a_retry_of_the_wait_creates_nothing(hostile: HostileServer) -> None:
    hostile.script(task())
    service = Service()
    run = Run(create=service.create, wait=True)
    run.deferral()

    assert run.deferral().trigger.seeany_task_id == "wtask_1"
    assert service.created == 1


ENDS_TOO_EARLY: dict[str, tuple[tuple[str, dict[str, Any]], type[Exception]]] = {
    "timeout": (("execute_complete", {"event": {"type": "timed_out"}}), SeeAnyTaskTimeout),
    "no triggerer": (LOST, SeeAnyTaskTimeout),
    "a refused key": (
        (
            "execute_complete",
            {"event": {"type": "refused", "error_type": "PermanentError", "text": "no", "http_status": 401}},
        ),
        SeeAnyAuthError,
    ),
}


@waits
@pytest.mark.parametrize("name", ENDS_TOO_EARLY)
def test_a_clear_continues_a_wait_that_ended_before_its_task(hostile: HostileServer, name: str) -> None:
    hostile.script(task())
    event, kind = ENDS_TOO_EARLY[name]
    service = Service()
    run = Run(create=service.create, wait=True)
    left = run.deferral()
    with pytest.raises(kind, match="wtask_1"):
        run.resume(left, *event)

    run.max_tries = 1
    left = run.deferral()

    assert left.trigger.seeany_task_id == "wtask_1"
    assert service.created == 1
    run.resume(left, *finished({**COMPLETED, "id": "wtask_1"}))
    run.max_tries = 2
    run.deferral()
    assert service.created == 2, "the task has ended, so a clear means another one"


@waits
def test_a_clear_continues_a_wait_of_which_no_end_is_known(hostile: HostileServer) -> None:
    """Such as one that a person ended, or a time limit, or that lost its last worker."""
    hostile.script(task())
    service = Service()
    run = Run(create=service.create, wait=True)
    run.deferral()

    run.max_tries = 1

    assert run.deferral().trigger.seeany_task_id == "wtask_1"
    assert service.created == 1


@waits
def test_a_clear_after_the_task_has_failed_creates_another_one(hostile: HostileServer) -> None:
    hostile.script(task())
    service = Service()
    run = Run(create=service.create, wait=True)
    left = run.deferral()
    with pytest.raises(SeeAnyTaskFailed):
        run.resume(left, *finished({**FAILED, "id": "wtask_1"}))

    run.max_tries = 1

    assert run.deferral().trigger.seeany_task_id == "wtask_2"


@waits
def test_worker_free_is_ignored_and_the_log_says_why(hostile: HostileServer, caplog: pytest.LogCaptureFixture) -> None:
    hostile.script(task())
    caplog.set_level(logging.INFO)
    run = Run(create=Service().create, wait=True, worker_free=True)

    assert not run.operator().start_from_trigger
    run.deferral()

    assert "this wait starts in a worker: creating the SeeAny task takes one" in caplog.text


@pytest.fixture
def developer(hostile: HostileServer, connect: Callable[..., None]) -> None:
    """Let the default connection speak the dialect that is known to create tasks."""
    connect(host=hostile.url, extra={"api": "developer", "request_timeout": 1})


PAYLOAD = {"aiTypeId": 113, "prompt": "一只猫"}
CREATED = {"code": 0, "msg": "success", "data": {"task_uuid": "wtask_1", "wait_time": 40}}


@pytest.mark.usefixtures("developer")
def test_a_payload_is_sent_through_the_connection(hostile: HostileServer) -> None:
    hostile.script(reply(200, CREATED))
    run = Run(payload=PAYLOAD)

    assert run.execute() == "wtask_1"
    assert run.execute() == "wtask_1", "a retry"

    (request,) = hostile.requests
    assert request.line == "POST /api/ai/smarttask HTTP/1.1"
    assert json.loads(request.body) == PAYLOAD
    assert request.all("Authorization") == [f"Bearer {KEY}"]
    assert request.all("Content-Type") == ["application/json"]
    assert KEY not in str(run.state.values)
    assert "一只猫" not in str(run.state.values)


def test_payload_and_path_are_templates() -> None:
    operator = Run(payload={"prompt": ["{{ ds }}"]}, path="api/{{ ds }}").operator()
    operator.render_template_fields({"ds": "2026-11-26"})

    assert (operator.payload, operator.path) == ({"prompt": ["2026-11-26"]}, "api/2026-11-26")


# What the service does, the exception, whether the next try may send it again.
POSTS: dict[str, tuple[Responder, type[Exception], bool]] = {
    "refused": (reply(400, {"code": 400, "msg": "参数错误"}), SeeAnyRequestError, True),
    "a bad key": (reply(200, {"code": 1001, "msg": "API Key 无效"}), SeeAnyAuthError, True),
    "no credit": (reply(200, {"code": 1005, "msg": "余额不足"}), SeeAnyResponseError, True),
    "redirected": (reply(307, b"", ("Location", "http://other/")), SeeAnyRequestError, True),
    "found elsewhere": (reply(303, b"", ("Location", "http://other/")), SeeAnySubmissionUnknown, False),
    "late": (reply(200, {"code": 1006, "msg": "请求超时"}), SeeAnySubmissionUnknown, False),
    "success in a code of its own": (reply(200, {"code": 1, "msg": "success"}), SeeAnySubmissionUnknown, False),
    "created before": (reply(200, {"code": 1007, "msg": "请勿重复提交，请稍后查看"}), SeeAnySubmissionUnknown, False),
    "500": (reply(500), SeeAnySubmissionUnknown, False),
    "503": (reply(503), SeeAnySubmissionUnknown, False),
    "reset": (reset, SeeAnySubmissionUnknown, False),
    "no response in time": (never_respond, SeeAnySubmissionUnknown, False),
    "a web page": (page(200), SeeAnySubmissionUnknown, False),
    "no id": (reply(200, {"code": 0, "data": {}}), SeeAnySubmissionUnknown, False),
}


@pytest.mark.usefixtures("developer")
@pytest.mark.parametrize("name", POSTS)
def test_a_request_is_not_repeated_by_itself_and_by_a_retry_only_if_it_was_refused(
    hostile: HostileServer, name: str
) -> None:
    response, kind, may_be_sent_again = POSTS[name]
    hostile.script(response)
    run = Run(payload=PAYLOAD)

    with pytest.raises(kind):
        run.execute()

    assert len(hostile.requests) == 1
    hostile.script(reply(200, CREATED))
    if may_be_sent_again:
        assert run.execute() == "wtask_1"
    else:
        with pytest.raises(SeeAnySubmissionUnknown):
            run.execute()
        assert len(hostile.requests) == 1


@pytest.mark.usefixtures("developer")
def test_a_service_that_asks_to_come_back_later_is_asked_again(hostile: HostileServer) -> None:
    hostile.script(reply(429), reply(503, b"", ("Retry-After", "0")), reply(200, CREATED))

    assert Run(payload=PAYLOAD).execute() == "wtask_1"


def test_a_service_that_cannot_be_reached_leaves_nothing(connect: Callable[..., None]) -> None:
    connect(host="http://127.0.0.1:1", extra={"api": "developer"})
    run = Run(payload=PAYLOAD)

    with pytest.raises(SeeAnyApiError, match="could not be reached"):
        run.execute()

    assert run.state.values == {}


@pytest.mark.usefixtures("developer")
@pytest.mark.parametrize(
    "payload",
    [{"at": object()}, {"x": float("nan")}, {"x": "\ud800"}, "{'x': 1}", []],
    ids=["an object", "NaN", "half an emoji", "text", "a list"],
)
def test_a_payload_that_is_no_json_object_is_refused_before_it_is_sent(hostile: HostileServer, payload: Any) -> None:
    run = Run(payload=payload)

    with pytest.raises(SeeAnyConfigError, match=r"cannot be sent as JSON|must be a dict"):
        run.execute()

    assert (hostile.connections, run.state.values) == (0, {})
