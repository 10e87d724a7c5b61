"""Lets a Python process collect garbage rarely: a third of an api-server's start goes into that, and finds none."""

from __future__ import annotations

import gc

gc.set_threshold(200_000, 20, 100)
