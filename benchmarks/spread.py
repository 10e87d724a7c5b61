"""Median and range of repeated measurements."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """Median and range of several rounds."""

    median: float
    minimum: float
    maximum: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of the values."""
        return cls(median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], to: Sequence[float]) -> Spread:
        """Return the spread of the ratios within each round, where the load of the machine is the same for both."""
        return cls.of([value / reference for value, reference in zip(values, to, strict=True)])

    def shown(self, unit: str = "", *, digits: int = 2) -> str:
        """Format it for a table: ``1.21× (1.17–1.25)``."""
        return f"{self.median:.{digits}f}{unit} ({self.minimum:.{digits}f}–{self.maximum:.{digits}f})"


def verdict(promise: str, measured: str, *, met: bool) -> str:
    """Format a line that says whether a target was met."""
    return f"- {promise}: {measured}, {'met' if met else '**missed**'}"
