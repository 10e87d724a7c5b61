"""A log that tests read afterwards."""

from __future__ import annotations


class RecordedLog:
    """
    Keeps its lines, none of which may be empty.

    :param now: the time of the lines that come next, as the test sets it.
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.infos: list[str] = []
        self.info_times: list[float] = []
        self.warnings: list[str] = []

    @property
    def text(self) -> str:
        """All lines, those that need attention last."""
        return "\n".join([*self.infos, *self.warnings])

    def info(self, msg: str, /, *args: object) -> None:
        """Keep a line and its time."""
        self.infos.append(msg % args)
        self.info_times.append(self.now)
        assert self.infos[-1]

    def warning(self, msg: str, /, *args: object) -> None:
        """Keep a line that needs attention."""
        self.warnings.append(msg % args)
        assert self.warnings[-1]
