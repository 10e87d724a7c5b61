"""Errors of a request: one hierarchy, raised by both transports and by the code that reads their responses."""

from __future__ import annotations

import copyreg
import pickle
from contextlib import suppress
from typing import Any, Self


class BadSettings(ValueError):
    """An address, key or limit that cannot be used; the text says what to change."""


class PicklableException:
    """Mixin: an exception that survives pickle, copy and deepcopy, whatever its ``__init__`` takes."""

    args: tuple[Any, ...]

    def __reduce__(self) -> tuple[Any, ...]:
        # Rebuilt without __init__, which pickle would call with the text alone.
        state = dict(self.__dict__)
        assert isinstance(self, BaseException)
        if self.__cause__ is not None:
            with suppress(Exception):
                pickle.dumps(self.__cause__)
                state["__cause__"] = self.__cause__
        state["__suppress_context__"] = self.__suppress_context__
        return copyreg.__newobj__, (type(self), *self.args), state  # type: ignore[attr-defined]


class ApiError(PicklableException, Exception):
    """
    A request that brought no usable response. Its subclass tells whether another request can succeed.

    :param text: what happened, for a person; foreign text in it is sanitized.
    :param http_status: the response's HTTP status, if there was a response.
    :param code: the service's own error code.
    :param message: the service's own message.
    :param request_id: the service's id of the request.
    :param retry_after: the seconds of ``Retry-After``.
    :param is_web_page: whether the body was HTML, so that probably something else than the API responded.
    :param was_not_carried_out: whether the service certainly did not do what it was asked to.
    """

    def __init__(
        self,
        text: str,
        *,
        http_status: int | None = None,
        code: str | None = None,
        message: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        is_web_page: bool = False,
        was_not_carried_out: bool = False,
    ) -> None:
        super().__init__(f"{text} (request id {request_id})" if request_id else text)
        self.text = text
        self.http_status = http_status
        self.code = code
        self.message = message
        self.request_id = request_id
        self.retry_after = retry_after
        self.is_web_page = is_web_page
        self.was_not_carried_out = was_not_carried_out

    @property
    def refuses_key(self) -> bool:
        """Whether the service refused the API key, and so would refuse any other request."""
        return self.http_status in (401, 403)

    def detached(self) -> Self:
        """Drop the traceback and the chained exceptions: whoever keeps an error must not keep frames alive."""
        self.__traceback__ = self.__context__ = self.__cause__ = None
        return self


class PermanentError(ApiError):
    """Another request cannot succeed: a refused key, an unknown id, a bad request."""


class ThrottledError(ApiError):
    """The service asks for fewer requests: 429, or 503 with ``Retry-After``."""


class TransientError(ApiError):
    """A passing fault: 408, 425, other 5xx, timeouts, resets, DNS and TLS failures."""


class InvalidResponseError(ApiError):
    """A success status with a body that is no SeeAny response, as proxies produce now and then."""


def error_type(status: int, *, retry_after: float | None = None) -> type[ApiError]:
    """Classify an HTTP status that is no success."""
    if status == 429 or (status == 503 and retry_after is not None):
        return ThrottledError
    # 1xx announces a response that then did not come.
    if status in (408, 425) or status >= 500 or status < 200:
        return TransientError
    return PermanentError
