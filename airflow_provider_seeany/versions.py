"""Which Airflow is installed, for what only some versions can do."""

from __future__ import annotations

import airflow


def airflow_is_at_least(major: int, minor: int) -> bool:
    """Tell whether the installed Airflow is of this version or a newer one."""
    return tuple(int(part) for part in airflow.__version__.split(".")[:2]) >= (major, minor)
