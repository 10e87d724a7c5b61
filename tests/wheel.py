"""Builds the wheel, installs it into a clean environment, and checks that Airflow there lists the provider."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PROVIDER = "airflow-provider-seeany"


def main() -> None:
    """Run the whole check; exit non-zero at the first thing that is wrong."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        run(sys.executable, "-m", "build", "--wheel", "--outdir", str(folder), str(REPOSITORY))
        (wheel,) = folder.glob("*.whl")
        check_contents(wheel)
        venv.create(folder / "venv", with_pip=True)
        python = str(folder / "venv" / "bin" / "python")
        constraints = str(REPOSITORY / "constraints.txt")
        run(python, "-m", "pip", "install", "--quiet", "--constraint", constraints, str(wheel))
        listed = run(python, "-m", "airflow", "providers", "list", "--output", "plain", AIRFLOW_HOME=str(folder))
        if PROVIDER not in listed:
            sys.exit(f"Airflow does not list the provider:\n{listed}")
        hooks = run(python, "-m", "airflow", "providers", "hooks", "--output", "plain", AIRFLOW_HOME=str(folder))
        if "seeany" not in hooks:
            sys.exit(f"Airflow does not list the connection type:\n{hooks}")
        print(f"{wheel.name} installs, and Airflow lists {PROVIDER} with its connection type")


def check_contents(wheel: Path) -> None:
    """Refuse a wheel that brings another top-level name, or lacks what is no Python module."""
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    top = {name.partition("/")[0] for name in names}
    strangers = {name for name in top if name != "airflow_provider_seeany" and not name.endswith(".dist-info")}
    if strangers:
        sys.exit(f"the wheel also brings {sorted(strangers)}")
    for needed in ("py.typed", "simulator/files/output.mp4"):
        if f"airflow_provider_seeany/{needed}" not in names:
            sys.exit(f"the wheel lacks {needed}")


def run(*command: str, **env: str) -> str:
    """Run a command, show its output when it fails, and return its output."""
    done = subprocess.run(
        command, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


if __name__ == "__main__":
    main()
