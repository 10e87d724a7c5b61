"""A statsd server, and Airflow's metrics turned on in this process."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import Stats
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

from airflow_provider_seeany import metrics


class Statsd:
    """Receives metrics. On this machine a datagram has arrived once it is sent."""

    def __init__(self, receiver: socket.socket) -> None:
        self._receiver = receiver
        receiver.setblocking(False)

    def lines(self) -> list[str]:
        """Return the provider's metrics since the last call, without Airflow's prefix, and sorted."""
        return sorted(line.removeprefix("airflow.") for line in self._received() if line.startswith("airflow.seeany."))

    def counted(self, name: str) -> list[str]:
        """Return the tags of each count of one metric since the last call, or of each of several: ``wait.*``."""
        wanted = f"seeany.{name}".rstrip("*")
        return [line.removeprefix(wanted) for line in self.lines() if line.startswith(wanted)]

    def _received(self) -> Iterator[str]:
        while True:
            try:
                yield from self._receiver.recv(65_536).decode().splitlines()
            except BlockingIOError:
                return


def options(port: int) -> dict[str, str]:
    """Return the environment of an Airflow process that sends its metrics there, with tags."""
    values = {"statsd_on": "True", "statsd_host": "127.0.0.1", "statsd_port": str(port)}
    return {f"AIRFLOW__METRICS__{name.upper()}": value for name, value in (values | TAGS).items()}


TAGS = {"statsd_influxdb_enabled": "True"}


@contextmanager
def receiving() -> Iterator[tuple[Statsd, int]]:
    """Run a server; yield it and its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("127.0.0.1", 0))
        yield Statsd(receiver), receiver.getsockname()[1]


@contextmanager
def metrics_on(**environment: str) -> Iterator[None]:
    """Let this process read these options anew, as a process that starts does."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            _start_anew()
            yield
    finally:
        _start_anew()


def _start_anew() -> None:
    for cached in (metrics.is_on, metrics.request_counter, metrics._stats):
        cached.cache_clear()
    metrics._prepared.clear()
    stats: Any = Stats
    if AIRFLOW_V_3_2_PLUS:
        from airflow.sdk.observability.metrics.stats_utils import get_stats_factory

        if AIRFLOW_V_3_3_PLUS:
            stats.initialize(factory=get_stats_factory(), export_legacy_names=False)
        else:
            stats.initialize(factory=get_stats_factory(stats))
        return
    kind: Any = type(Stats)
    stats.instance = None
    del kind.factory
    kind.__init__(stats)
