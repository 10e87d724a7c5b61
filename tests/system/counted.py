"""What an Airflow has counted by metrics, and what its simulators have."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import requests

from tests.statsd import Statsd

Counts = Mapping[tuple[str, ...], float]


@dataclass(frozen=True)
class Counted:
    """
    What was counted at one moment.

    :param metrics: the sums of the metrics, by name and tags.
    :param requests: the number of requests that the simulator of each connection got.
    """

    metrics: Counts
    requests: Mapping[str, int]

    @classmethod
    def by(cls, statsd: Statsd, simulators: Mapping[str, str]) -> Counted:
        """Count; ``simulators`` are URLs by connection."""
        metrics: Counter[tuple[str, ...]] = Counter()
        for line in statsd.lines():
            name, value, kind = re.split(r"[:|]", line)
            if kind == "c":
                metrics[tuple(re.sub(r",\w+=", ",", name).split(","))] += float(value)  # type: ignore[assignment]
        made = {conn_id: requests.get(f"{url}/simulator/requests", timeout=30) for conn_id, url in simulators.items()}
        return cls(metrics, {conn_id: sum(response.json().values()) for conn_id, response in made.items()})
