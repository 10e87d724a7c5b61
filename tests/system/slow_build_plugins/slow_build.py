"""Makes a triggerer build its API for as long as a test wants."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from airflow.plugins_manager import AirflowPlugin


class SlowBuild(AirflowPlugin):
    name = "slow_build"

    @classmethod
    def on_load(cls, *args: Any, **kwargs: Any) -> None:
        if "airflow.cli.commands.triggerer_command" not in sys.modules:
            return
        from cadwyn import Cadwyn

        build = Cadwyn._cadwyn_initialize
        signs = Path(os.environ["SLOW_BUILD_SIGNS"])

        def build_slowly(self: Cadwyn) -> None:
            with (signs / "building").open("a") as sign:
                sign.write("once\n")
            while not (signs / "go_on").exists():
                time.sleep(0.1)
            build(self)
            (signs / "built").touch()

        Cadwyn._cadwyn_initialize = build_slowly
