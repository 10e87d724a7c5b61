"""A log that tests of the API layer read."""

from __future__ import annotations


class Lines:
    """A log to read afterwards."""

    def __init__(self) -> None:
        self.infos: list[str] = []
        self.warnings: list[str] = []

    def info(self, msg: str, /, *args: object) -> None:
        """Keep a line."""
        self.infos.append(msg % args)

    def warning(self, msg: str, /, *args: object) -> None:
        """Keep a line that people should look at."""
        self.warnings.append(msg % args)
