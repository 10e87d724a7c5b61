"""What a dialect of the API is: where its requests go, and how its responses are read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

if TYPE_CHECKING:
    from airflow_provider_seeany.api.error_body import BodyError
    from airflow_provider_seeany.api.task import SeeAnyTask

KEY_ACCEPTED = "SeeAny accepted the API key."


class Client(Protocol):
    """The part of a client that testing a key uses."""

    def get_task(self, seeany_task_id: str) -> SeeAnyTask:
        """Make one request for a task."""

    def get_json(self, endpoint: str) -> Any:
        """Make one GET and return the decoded JSON."""


class Dialect(ABC):
    """One dialect of the API. Instances have no state."""

    name: ClassVar[str]
    """What a connection's extra calls it."""
    label: ClassVar[str]
    """What the connection form calls it."""
    base_path: ClassVar[str]
    """How a base URL ends, behind any prefix."""
    typed_paths: ClassVar[tuple[str, ...]]
    """What people type at the end of a base URL instead, the longest first."""

    @abstractmethod
    def task_endpoint(self, quoted_id: str) -> str:
        """Return the endpoint of a task, whose percent-encoded id is one path segment."""

    @abstractmethod
    def task_payload(self, payload: Any, seeany_task_id: str) -> Mapping[str, Any]:
        """
        Return the payload of the requested task, as :class:`~airflow_provider_seeany.api.task.SeeAnyTask` parses it.

        :raises ValueError: if the decoded body does not describe this task.
        """

    @abstractmethod
    def error_in(self, payload: Mapping[str, Any]) -> BodyError | None:
        """Return the error of the request in a body that came with a success status; ``None`` if there is none."""

    def http_status(self, status: int, payload: Mapping[str, Any]) -> int:
        """Return what the status of an error counts as, with this body."""
        return status

    @abstractmethod
    def test_key(self, client: Client) -> str:
        """
        Return what to tell a person whose key is accepted.

        :raises ApiError: if it is not, or nobody can tell.
        """
