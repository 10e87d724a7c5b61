"""Buttons that lead from a task instance to what SeeAny made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_seeany.api.task import SeeAnyTask


class _ResultLink(BaseOperatorLink):
    """
    A link to one URL of the finished task.

    Airflow computes it in the worker, right after the task ran, and stores it under a key of its own; the task
    that ran is therefore at hand and nothing has to be read back.
    """

    field: ClassVar[str]

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the URL, or an empty string (which hides the button) unless it is an http(s) URL."""
        return self.url_of(getattr(operator, "finished_task", None))

    def url_of(self, task: SeeAnyTask | None) -> str:
        """Return the URL to show for a task that has ended."""
        from airflow_provider_seeany.api.task import is_web_url

        url: str | None = getattr(task, self.field, None)
        return url if url and is_web_url(url) else ""


class WatchVideoLink(_ResultLink):
    """The finished video."""

    field = "video_url"
    name = "Watch video"


class ThumbnailLink(_ResultLink):
    """The finished video's thumbnail."""

    field = "thumbnail_url"
    name = "Thumbnail"


RESULT_LINKS = (WatchVideoLink(), ThumbnailLink())
"""The links of every task that waits."""
