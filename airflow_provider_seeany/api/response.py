"""An HTTP response as a transport delivers it, and decoding its body into JSON that Airflow can store."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from typing import Any

import msgspec

from airflow_provider_seeany.api import lenient_json
from airflow_provider_seeany.api.lenient_json import MAX_DEPTH
from airflow_provider_seeany.api.request import MAX_RESPONSE_BYTES
from airflow_provider_seeany.api.secret import Secret

_MAX_GZIP_MEMBERS = 100  # maximum members of one gzip body: each takes time, however small it is

_RESERVED_NAMES = frozenset({"__classname__", "__id__", "__type", "__var"})
"""Keys by which Airflow's serialisation marks its own objects; it refuses them, or worse, in foreign data."""

_JSON_OBJECT = re.compile(rb'(?:\xef\xbb\xbf)?\s*\{\s*["}]')
_SURROGATES = re.compile("[\ud800-\udfff]")
_CHARSET = re.compile(r"charset\s*=\s*\"?([\w.:-]{1,40})", re.IGNORECASE)
_DIGITS_AS_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LARGE_INTEGER = b"0" * 19


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """
    An HTTP response.

    :param headers: case-insensitive.
    :param body: the body as sent. A transport stops reading after
        :data:`~airflow_provider_seeany.api.request.MAX_RESPONSE_BYTES`.
    :param secret: the API key of the request, to be masked wherever the response quotes it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    secret: Secret

    def __repr__(self) -> str:
        # Headers and body may quote the key.
        return f"Response({self.status}, {len(self.body)} bytes)"


def decompressed(response: Response) -> Response:
    """
    Undo an unrequested compression, without ever producing more than the maximum size.

    A body that is plainly JSON is left as it is, whatever its header says.

    :raises ValueError: if the body cannot be decompressed, or is too large.
    """
    body = response.body
    if not _JSON_OBJECT.match(body):
        for encoding in reversed(response.headers.get("Content-Encoding", "").lower().split(",")):
            body = _without_encoding(body, encoding.strip())
    if len(body) > MAX_RESPONSE_BYTES:
        raise ValueError(f"it is larger than {MAX_RESPONSE_BYTES // 1024 // 1024} MiB")
    return response if body is response.body else msgspec.structs.replace(response, body=body)


def _without_encoding(body: bytes, encoding: str) -> bytes:
    if encoding in ("br", "zstd", "compress", "x-compress", "dcb", "dcz"):
        raise ValueError(f"it is compressed with {encoding!r}, which was not requested")
    if encoding not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        try:
            return _inflated(body, 32 + zlib.MAX_WBITS)  # gzip or zlib, told apart by the header
        except zlib.error:
            if encoding != "deflate":
                raise
            return _inflated(body, -zlib.MAX_WBITS)  # many servers send deflate without its header
    except zlib.error as error:
        raise ValueError(f"its compression is broken: {error}") from None


def _inflated(body: bytes, wbits: int) -> bytes:
    parts: list[bytes] = []
    room = MAX_RESPONSE_BYTES + 1
    for _ in range(_MAX_GZIP_MEMBERS):
        stream = zlib.decompressobj(wbits)
        parts.append(stream.decompress(body, room))
        room -= len(parts[-1])
        body = stream.unused_data
        if not room or not body.startswith(b"\x1f\x8b"):
            break
    return b"".join(parts)


def decoded(response: Response) -> tuple[Any, list[str]]:
    """Decode the body. Return the payload, and what had to be changed in it for Airflow to take it."""
    body = response.body
    try:
        payload = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        charset = _CHARSET.search(response.headers.get("Content-Type", ""))
        payload, is_plain = lenient_json.decode(body, charset[1] if charset else ""), False
    else:
        # Walk through the payload only if its bytes call for it: no NUL and no escaped key (the escapes of Chinese are
        # neither, that of a slash can be one), no reserved name, no large integer, no deep nesting, no key.
        is_plain = (
            b"\\u00" not in body
            and b"\\/" not in body
            and b'"__' not in body
            and _LARGE_INTEGER not in body.translate(_DIGITS_AS_ZEROS)
            and body.count(b"{") + body.count(b"[") < MAX_DEPTH
            and not response.secret.may_be_in(body)
        )
    changes: list[str] = []
    return (payload if is_plain else _portable(payload, response.secret, changes)), changes


def _portable(value: Any, secret: Secret, changes: list[str], depth: int = 0) -> Any:
    """
    Return decoded JSON that can travel through Airflow.

    An integer beyond 64 bits becomes text: Airflow's triggerer cannot send it, and would stop. NUL characters, which
    PostgreSQL cannot store, are dropped. So is nesting beyond :data:`MAX_DEPTH`, which is noted in ``changes``.
    Reserved names get an underscore. The key is masked, unless it is so short that it could be part of a real payload.
    """
    if isinstance(value, str):
        if "\0" in value:
            value = value.replace("\0", "")
        if not value.isascii():
            value = _SURROGATES.sub("\ufffd", value)
        return secret.mask(value) if secret.may_be_in(value.encode("utf-8", "replace")) else value
    if isinstance(value, dict | list):
        if depth >= MAX_DEPTH:
            changes[:] = [f"what is nested more than {MAX_DEPTH} levels deep"]
            return None
        if isinstance(value, list):
            return [_portable(item, secret, changes, depth + 1) for item in value]
        names = (_portable(key, secret, changes) for key in value)
        return {
            f"{name}_" if name in _RESERVED_NAMES else name: _portable(item, secret, changes, depth + 1)
            for name, item in zip(names, value.values(), strict=True)
        }
    return str(value) if isinstance(value, int) and not -(2**63) <= value < 2**64 else value
