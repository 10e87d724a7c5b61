"""Tests of made-up input, some hundred examples each, and ten thousand in CI (``HYPOTHESIS_PROFILE=ci``)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("HYPOTHESIS_PROFILE") == "ci"

# The same examples at each run: a failure in CI has to be about the change and not about chance. Elsewhere new ones are
# tried.
settings.register_profile("ci", print_blob=True, derandomize=True)
if IN_CI or os.environ.get("CI"):
    settings.load_profile("ci")


def examples(in_ci: int) -> settings:
    """Return the settings of a test that tries so many examples in CI, and a fiftieth of them elsewhere."""
    return settings(
        max_examples=in_ci if IN_CI else in_ci // 50,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
