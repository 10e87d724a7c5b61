"""Tests of made-up input, some hundred examples each, and ten thousand in CI (``HYPOTHESIS_PROFILE=ci``)."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

IN_CI = os.environ.get("HYPOTHESIS_PROFILE") == "ci"

# No deadline: how long an example takes on a busy machine says nothing.
settings.register_profile("local", deadline=None)
# The same examples at each run: a failure in CI has to be about the change and not about chance. Elsewhere new ones are
# tried.
settings.register_profile("ci", deadline=None, print_blob=True, derandomize=True)
settings.load_profile("ci" if IN_CI or os.environ.get("CI") else "local")


def examples(in_ci: int) -> settings:
    """Return the settings of a test that tries so many examples in CI, and a fiftieth of them elsewhere."""
    return settings(
        max_examples=in_ci if IN_CI else in_ci // 50,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
