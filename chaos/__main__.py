"""
Runs the chaos experiments and reports: `python -m chaos` (`--only sqlite` or `--only postgresql` for one of them).

The report is also written to `build/chaos/report.txt`; logs and databases stay there until the next run.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Iterator

from chaos.experiment import DISRUPTIONS, DISRUPTIONS_OF_TWO_TRIGGERERS, REPOSITORY, Findings, run_experiment
from chaos.report import report
from local_airflow.postgres import running_postgres

FOLDER = REPOSITORY / "build" / "chaos"
PARTS = ("sqlite", "postgresql")


def main(argv: list[str] | None = None) -> int:
    """Run the experiments; return 0 if no wait was lost, duplicated or changed."""
    parser = argparse.ArgumentParser(prog="python -m chaos", description=__doc__)
    parser.add_argument("--only", choices=PARTS, help="run only this experiment")
    parser.add_argument("--seed", type=int, default=20261124, help="seed of the random faults (default: %(default)s)")
    arguments = parser.parse_args(argv)
    began = time.monotonic()
    texts, problems = [], 0
    for findings in _experiments((arguments.only,) if arguments.only else PARTS, arguments.seed):
        text, found = report(findings)
        print(f"\n{text}\n", flush=True)
        texts.append(text)
        problems += found
    file = FOLDER / "report.txt"
    file.write_text("\n\n".join(texts) + "\n", encoding="utf-8")
    print(f"{'FAIL' if problems else 'PASS'} after {time.monotonic() - began:.0f} s; the report is in {file}")
    return 1 if problems else 0


def _experiments(parts: tuple[str, ...], seed: int) -> Iterator[Findings]:
    for part in parts:
        home = FOLDER / part
        shutil.rmtree(home, ignore_errors=True)
        home.mkdir(parents=True)
        if part == "sqlite":
            yield run_experiment("SQLite, one triggerer", home=home, seed=seed, disruptions=DISRUPTIONS)
            continue
        with running_postgres() as database_url:
            yield run_experiment(
                "PostgreSQL, two triggerers",
                home=home,
                seed=seed,
                disruptions=DISRUPTIONS_OF_TWO_TRIGGERERS,
                database_url=database_url,
                triggerers=2,
            )


if __name__ == "__main__":
    sys.exit(main())
