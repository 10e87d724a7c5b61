"""Reads the error in a body: code and message in any of the usual shapes, and the HTTP status that it counts as."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

_MESSAGE_KEYS = ("message", "msg", "detail", "error_message")


class BodyError(msgspec.Struct, frozen=True, kw_only=True):
    """
    An error that came with a success status.

    :param http_status: the HTTP status that it counts as; ``None`` if it may be permanent as well as transient, so that
        it is believed only when it is repeated.
    """

    code: str | None = None
    message: str | None = None
    http_status: int | None = None


def find_error(payload: Mapping[str, Any]) -> tuple[str | None, str | None] | None:
    """Return code and message of an error body; ``None`` if its code means success, or it has neither."""
    code, message = code_and_message(payload)
    error = payload.get("error")
    if isinstance(error, dict) or (isinstance(error, str) and error):
        return code, message
    return (code, message) if (code or message) and code not in ("0", "200") else None


def code_and_message(payload: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return what a body has of a code and a message, whether it is an error or not."""
    error = payload.get("error")
    if isinstance(error, dict):
        return scalar_text(error.get("code")), scalar_text(error.get("message") or error.get("msg"))
    message = next((text for key in _MESSAGE_KEYS if (text := scalar_text(payload.get(key)))), None)
    return scalar_text(payload.get("code")), message or (error if isinstance(error, str) and error else None)


def http_status(code: str | None) -> int | None:
    """Return a code that is the HTTP status of an error."""
    return int(code) if code is not None and re.fullmatch("[45][0-9]{2}", code) else None


def scalar_text(value: object) -> str | None:
    """Return a text that is not empty, or a number's digits."""
    if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "":
        return str(value)
    return None
