"""The operator that creates a SeeAny task, once, and waits for it if it should."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NoReturn

from airflow_provider_seeany.api.settings import to_seconds
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context

    from airflow_provider_seeany.budget.limit import SeeAnyBudget
    from airflow_provider_seeany.submit.submission import Submitter


class SeeAnySubmitOperator(BaseTaskWaitOperator):
    """
    Creates a SeeAny task, once: a retry reuses the id of the task that an earlier try has created.

    Where it cannot tell whether a task was created, for example because the worker was killed during the request, it
    raises ``SeeAnySubmissionUnknown`` instead of paying twice. That takes Airflow 3.3, which keeps state between tries;
    before, only the exceptions of ``create`` are judged, and a log line says so.

    It returns the id, and pushes ``wait_time`` if the response has one; with ``wait=True`` it returns and pushes what
    :class:`~airflow_provider_seeany.operators.task.SeeAnyTaskResultOperator` does. For that it takes the parameters of
    :class:`~airflow_provider_seeany.wait.base.BaseTaskWaitOperator` but ``seeany_task_id``, among them ``timeout``,
    ``max_poll_interval``, ``deferrable`` and ``expect_callback``; ``worker_free`` is ignored, as creating takes a
    worker.

    :param create: makes the request that creates the task, once, and returns the id or the response as decoded JSON.
        Like a ``@task`` function it may take values of the context by their names. Without it, ``payload`` is sent.
    :param op_args: its positional arguments (templated).
    :param op_kwargs: its named arguments (templated).
    :param payload: what to send through ``seeany_conn_id`` as JSON, in place of ``create`` (templated).
    :param path: where to send it, as ``SeeAnyHook.post`` takes it (templated). The default is for a connection whose
        ``api`` is ``developer``.
    :param budget: a :class:`~airflow_provider_seeany.budget.limit.SeeAnyBudget`, which is checked before a task is
        created, and not if an id is reused.
    :param wait: wait for the task as well. The id survives retries of the wait.
    :param on_clear: what to do when this task is cleared: ``create`` another SeeAny task, or ``reuse`` the first one. A
        wait that ended without the end of its SeeAny task being known, such as by a timeout or a lost worker, is
        continued in any case.
    :param on_unknown: what to do when a task may have been created, but nobody knows its id: ``fail``, or ``create``
        another one, which may pay twice.
    :param poll_interval: seconds between two polls; in the triggerer, while the end cannot be estimated.
    """

    template_fields: Sequence[str] = (
        "op_args",
        "op_kwargs",
        "payload",
        "path",
        *(field for field in BaseTaskWaitOperator.template_fields if field != "seeany_task_id"),
    )
    template_fields_renderers: ClassVar[dict[str, str]] = {"op_args": "py", "op_kwargs": "py", "payload": "json"}
    shallow_copy_attrs = ("create",)
    needs_worker = "creating the SeeAny task takes one"

    seeany_task_id: str
    """Empty until the task is created."""

    def __init__(
        self,
        *,
        create: Callable[..., Any] | None = None,
        op_args: Collection[Any] | None = None,
        op_kwargs: Mapping[str, Any] | None = None,
        payload: Mapping[str, Any] | None = None,
        path: str = "api/ai/smarttask",
        budget: SeeAnyBudget | None = None,
        wait: bool = False,
        on_clear: Literal["create", "reuse"] = "create",
        on_unknown: Literal["fail", "create"] = "fail",
        poll_interval: timedelta | float = 10,
        **kwargs: Any,
    ) -> None:
        super().__init__(seeany_task_id="", **kwargs)
        if (create is None) == (payload is None) or not (create is None or callable(create)):
            raise TypeError("it takes either create, a callable that creates the task and returns its id, or a payload")
        if on_clear not in ("create", "reuse"):
            raise ValueError(f"on_clear must be 'create' or 'reuse', not {on_clear!r}")
        if on_unknown not in ("fail", "create"):
            raise ValueError(f"on_unknown must be 'fail' or 'create', not {on_unknown!r}")
        self.create = create
        self.op_args = op_args or ()
        self.op_kwargs = op_kwargs or {}
        self.payload = payload
        self.path = path
        self.budget = budget
        self.wait = wait
        self.on_clear = on_clear
        self.on_unknown = on_unknown
        self.poll_interval = to_seconds(poll_interval, name="poll_interval")

    def execute(self, context: Context) -> Any:
        """Create the task unless an earlier try has; return its id, or wait for it."""
        with self.recording_failure(context, is_wait=False):
            submitter = self._submitter(context)
            created = submitter.submit(self._request(context))
        self.seeany_task_id = created.seeany_task_id
        # The task exists: failing because of one of these would lose its id, or create another one.
        self._note_created(context, submitter.created)
        if created.wait_time is not None and self.do_xcom_push:
            with self._warning("wait_time could not be pushed"):
                context["ti"].xcom_push(key="wait_time", value=created.wait_time)
        if not self.wait:
            self._show_created(context)
            if self.outlets:
                from airflow_provider_seeany.xcoms.asset_events import fill_outlet_events

                fill_outlet_events(self, context, {"seeany_task_id": created.seeany_task_id})
            return created.seeany_task_id
        self.log_why_worker()
        if self.expected_duration is None:
            self.expected_duration = created.wait_time or None
        with self._noting_the_end(context):
            with self.recording_failure(context):
                task = self.wait_or_defer(context)
            return self.deliver(context, task)

    def resume_execution(self, next_method: str, next_kwargs: dict[str, Any] | None, context: Context) -> Any:
        """Resume the wait for the task that was created before the deferral."""
        arguments = dict(next_kwargs or {})
        # If Airflow ended the deferral, it has replaced the arguments.
        given = arguments.pop("seeany_task_id", None)
        self.seeany_task_id = given or self._submitter(context).stored_id() or "(its id is in the log of this try)"
        with self._noting_the_end(context):
            return super().resume_execution(next_method, arguments, context)

    def defer_wait(self) -> NoReturn:
        """Leave the worker and continue in the triggerer."""
        wait = self.worker_part
        self.defer(
            trigger=wait.trigger(),
            method_name="execute_complete",
            kwargs={"seeany_task_id": self.seeany_task_id},
            timeout=wait.settings.defer_timeout,
        )

    def _show_created(self, context: Context) -> None:
        from airflow_provider_seeany.xcoms.record import Progress

        self.push_record(context, Progress.of_created(self.seeany_task_id, conn_id=self.seeany_conn_id))

    def _note_created(self, context: Context, created: Mapping[str, float]) -> None:
        """
        Push what budgets find while nothing else is known of these tasks.

        Those that a clear has replaced are paid as well, but it has deleted their results.
        """
        if not self.do_xcom_push:
            return
        from airflow_provider_seeany.api.text import sanitize
        from airflow_provider_seeany.xcoms.raw import RawXCom
        from airflow_provider_seeany.xcoms.record_key import created_key
        from airflow_provider_seeany.xcoms.task_instance import TaskInstanceKey

        ti = TaskInstanceKey.of(context["ti"])
        with self._warning("Budgets do not count this SeeAny task before it has ended"):
            for each, began_at in created.items():
                task_id = sanitize(each)
                key = created_key(began_at, seeany_task_id=task_id, dag_id=ti.dag_id, conn_id=self.seeany_conn_id)
                RawXCom(key, ti).set(task_id)

    @contextmanager
    def _warning(self, what: str) -> Iterator[None]:
        """Log an error in the block, which does not fail the task."""
        try:
            yield
        except Exception:
            self.log.warning(what, exc_info=True)

    def _check_budget(self, context: Context, replaced: Mapping[str, float]) -> None:
        self._note_created(context, replaced)
        if self.budget is not None:
            if not self.do_xcom_push:
                self.log.warning("With do_xcom_push=False budgets do not count what this task creates")
            from airflow_provider_seeany.budget.check import check_budget

            check_budget(self.budget, context, seeany_conn_id=self.seeany_conn_id, log=self.log)

    def _submitter(self, context: Context) -> Submitter:
        from airflow_provider_seeany.submit.submission import Submitter

        return Submitter(
            context,
            on_clear=self.on_clear,
            on_unknown=self.on_unknown,
            log=self.log,
            wait=self.wait,
            check=partial(self._check_budget, context),
        )

    def _request(self, context: Context) -> Callable[[], Any]:
        from airflow_provider_seeany.exceptions import SeeAnyConfigError
        from airflow_provider_seeany.submit.call import bound_call

        if self.create is None:
            if not isinstance(self.payload, Mapping):
                # A template for the whole of it renders to a text.
                raise SeeAnyConfigError(f"payload must be a dict, not {type(self.payload).__name__}.")
            return self._post
        return bound_call(self.create, self.op_args, self.op_kwargs, context)

    def _post(self) -> Any:
        from airflow_provider_seeany.hooks.seeany import SeeAnyHook

        hook = SeeAnyHook(self.seeany_conn_id)
        hook.mode = "submit"
        try:
            return hook.post(self.path, self.payload)
        finally:
            hook.close()

    @contextmanager
    def _noting_the_end(self, context: Context) -> Iterator[None]:
        """Note the end of the SeeAny task. Until then a clear continues the wait, whatever has ended that."""
        from airflow_provider_seeany.exceptions import SeeAnyTaskFailed

        try:
            yield
        except SeeAnyTaskFailed as failed:
            self._submitter(context).mark_ended(was_free=not failed.task.usage.cost and not failed.task.is_partial)
            raise
        self._submitter(context).mark_ended()
