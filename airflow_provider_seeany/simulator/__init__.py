"""A simulator of the SeeAny API, for writing and testing DAGs without a key or a budget."""

from __future__ import annotations
