"""The operator: pushes the result and the cost of a SeeAny task to XCom, and waits for it if necessary."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_seeany.api.settings import to_seconds
from airflow_provider_seeany.wait.base import BaseTaskWaitOperator

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Context


class SeeAnyTaskResultOperator(BaseTaskWaitOperator):
    """
    Pushes the result of a SeeAny task to XCom; waits for it, in the triggerer, if it is still running.

    ``return_value`` is the response as a JSON object, ``completed_at`` in it an ISO 8601 UTC string; a partial result
    has ``is_partial`` in it.
    Under keys of their own: ``video_url``, ``cost`` (the JSON number as given), and ``result_urls`` (a list) if there
    are other files than the video. Fields missing from the response are not pushed, and none is with
    ``do_xcom_push=False``.

    It takes the parameters of :class:`~airflow_provider_seeany.wait.base.BaseTaskWaitOperator`, among them
    ``seeany_task_id``, ``seeany_conn_id``, ``timeout``, ``max_poll_interval``, ``deferrable``, ``worker_free``,
    ``expect_callback`` and ``accept_partial``, those of any operator, and:

    :param wait_for_completion: wait for a task that is still running. If off, such a task raises
        ``SeeAnyTaskNotReady``, which is retried as ``retries`` and ``retry_delay`` say.
    :param poll_interval: seconds between two polls; in the triggerer, while the end cannot be estimated.
    """

    def __init__(
        self, *, wait_for_completion: bool = True, poll_interval: timedelta | float = 10, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.wait_for_completion = wait_for_completion
        self.poll_interval = to_seconds(poll_interval, name="poll_interval")

    def execute(self, context: Context) -> dict[str, Any]:
        """Push the result at once if it is there; else wait for it, or raise."""
        self.log_why_worker()
        with self.recording_failure(context):
            if not self.wait_for_completion:
                return self.deliver(context, self.worker_part.result())
            task = self.wait_or_defer(context)
        return self.deliver(context, task)
