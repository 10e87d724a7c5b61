"""What can go wrong between asking SeeAny and understanding its answer, as one value for both transports."""

from __future__ import annotations

import copyreg
import enum
import pickle
from typing import Any

import msgspec


class Kind(enum.Enum):
    """The one classification of what went wrong; it alone decides whether asking again makes sense."""

    PERMANENT = "permanent"
    """Asking again cannot succeed: a refused key, an unknown id, a bad request."""
    THROTTLED = "throttled"
    """The service asks for patience: 429, or 503 with ``Retry-After``."""
    TRANSIENT = "transient"
    """A passing fault: 408, 425, other 5xx, time-outs, resets, DNS and TLS failures."""
    INVALID_RESPONSE = "unusable"
    """A success status with a body that is no SeeAny answer, as proxies produce now and then."""


class Trouble(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    One request that brought no usable answer.

    :param kind: what kind of trouble this is.
    :param text: what happened, for a person; foreign text in it is already cleaned.
    :param http_status: the response's HTTP status, if there was a response.
    :param code: the service's own error code, if the body carried one.
    :param message: the service's own message, if the body carried one.
    :param request_id: the service's id of the request, if a header or the body carried one.
    :param retry_after: seconds that the service asked to wait.
    :param is_web_page: whether the body was HTML, so that something else than the API has probably answered.
    """

    kind: Kind
    text: str
    http_status: int | None = None
    code: str | None = None
    message: str | None = None
    request_id: str | None = None
    retry_after: float | None = None
    is_web_page: bool = False

    @property
    def refuses_key(self) -> bool:
        """Whether the service refused the API key, and so would refuse any other question, too."""
        return self.http_status in (401, 403)

    def __str__(self) -> str:
        return f"{self.text} (request id {self.request_id})" if self.request_id else self.text


class PicklableException:
    """Part of an exception that lets it survive pickle, copy and deepcopy, whatever its ``__init__`` takes."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        # Made without __init__: what that would compute is here already. Pickle would call it with the text alone.
        state = dict(self.__dict__)
        assert isinstance(self, BaseException)
        if self.__cause__ is not None and _can_be_pickled(self.__cause__):
            state["__cause__"] = self.__cause__
        state["__suppress_context__"] = self.__suppress_context__
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]


class ApiError(PicklableException, Exception):
    """
    Raised inside the API layer where a request brought trouble instead of an answer.

    :param trouble: what went wrong.
    """

    def __init__(self, trouble: Trouble) -> None:
        super().__init__(str(trouble))
        self.trouble = trouble


def _can_be_pickled(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:
        return False
    return True
