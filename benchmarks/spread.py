"""How far apart repeated measurements lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Spread:
    """
    What several rounds measured.

    :param middle: the median.
    :param least: the smallest.
    :param most: the largest.
    """

    middle: float
    least: float
    most: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of the values."""
        return cls(median(values), min(values), max(values))

    @classmethod
    def of_ratios(cls, values: Sequence[float], to: Sequence[float]) -> Spread:
        """
        Return the spread of the ratios within each round.

        Within a round the machine is as busy for the one as for the other; between rounds it is not.
        """
        return cls.of([value / reference for value, reference in zip(values, to, strict=True)])

    def shown(self, unit: str = "", *, digits: int = 2) -> str:
        """Return it for a table: ``1.21× (1.17–1.25)``."""
        return f"{self.middle:.{digits}f}{unit} ({self.least:.{digits}f}–{self.most:.{digits}f})"


def verdict(promise: str, measured: str, *, met: bool) -> str:
    """Return a line that says whether a target was met."""
    return f"- {promise}: {measured}, {'met' if met else '**missed**'}"
