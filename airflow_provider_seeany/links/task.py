"""Buttons that lead from a task instance to its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import BaseOperator

    from airflow_provider_seeany.api.task import SeeAnyTask


class _ResultLink(BaseOperatorLink):
    """
    A link to one URL of the finished task.

    Airflow computes it in the worker right after the task ran, so the operator still has the result, and stores it
    under a key of its own.
    """

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        """Return the URL, or an empty string (which hides the button) unless it is an http(s) URL."""
        task = getattr(operator, "finished", None)
        return "" if task is None else self.url_of(task)

    def url_of(self, task: SeeAnyTask) -> str:
        """Return the URL to show for a task that has ended, or an empty string."""
        from airflow_provider_seeany.api.result_urls import web_url

        return web_url(self._url_in(task)) or ""

    def _url_in(self, task: SeeAnyTask) -> str | None:
        raise NotImplementedError


class WatchVideoLink(_ResultLink):
    """The finished video."""

    name = "Watch video"

    def _url_in(self, task: SeeAnyTask) -> str | None:
        return task.video_url


class FirstFileLink(_ResultLink):
    """The first file of a result that has no video: of an image set, for example. The tab SeeAny shows all of them."""

    name = "First file"

    def _url_in(self, task: SeeAnyTask) -> str | None:
        return None if task.video_url else next(iter(task.result_urls), None)


RESULT_LINKS = (WatchVideoLink(), FirstFileLink())
"""The links of every task that waits."""


def links_of(task: SeeAnyTask) -> tuple[_ResultLink, ...]:
    """Return the links that lead somewhere once the task has ended: Airflow stores each in an XCom."""
    return tuple(link for link in RESULT_LINKS if link.url_of(task))
