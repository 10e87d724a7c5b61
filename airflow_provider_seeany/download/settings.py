"""The settings of a download, as one value that the operator makes; light enough for a DAG file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Self

import msgspec

from airflow_provider_seeany.api.errors import BadSettings

FILES = ("video", "thumbnail", "images")
"""What can be downloaded of a result; ``images`` are all of its files but the video and the thumbnail."""

MAX_ACTIVE_FILES = 64

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class DownloadSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What is downloaded, and with which limits. The fields are parameters of the operator, by their names."""

    files: tuple[str, ...]
    max_active_files: int
    max_file_size: int
    """In bytes."""
    min_bytes_per_second: int
    overwrite: bool
    allow_private_addresses: bool

    def __post_init__(self) -> None:
        if not self.files or not set(self.files) <= set(FILES):
            raise BadSettings(f"files must name some of {', '.join(FILES)}; got {self.files!r}")
        if not 1 <= self.max_active_files <= MAX_ACTIVE_FILES:
            raise BadSettings(f"max_active_files must be between 1 and {MAX_ACTIVE_FILES}: {self.max_active_files!r}")

    @classmethod
    def of(cls, operator: object) -> Self:
        """Return the settings in an operator's attributes, which have the fields' names."""
        values = {name: getattr(operator, name) for name in cls.__struct_fields__}
        given = values["files"]
        values["files"] = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else (given,)
        values |= {name: to_bytes(values[name], name=name) for name in ("max_file_size", "min_bytes_per_second")}
        values |= {name: bool(values[name]) for name in ("overwrite", "allow_private_addresses")}
        return cls(**values)


def to_bytes(value: object, *, name: str) -> int:
    """
    Return a size in bytes, from a number or a text such as ``500MB`` or ``2GiB``.

    :raises BadSettings: if it is not a size above 0.
    """
    size = 0
    if isinstance(value, int) and not isinstance(value, bool):
        size = value
    elif isinstance(value, str) and (found := _SIZE.fullmatch(value)):
        number, prefix, binary = found.groups()
        size = int(float(number) * (1024 if binary else 1000) ** _POWERS[prefix.lower()])
    if size <= 0:
        raise BadSettings(f"{name} must be bytes above 0, or a text such as '500MB' or '2GiB'; got {value!r}")
    return size


def format_bytes(size: float) -> str:
    """Write a size for a person: ``1.5 GiB``."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"
