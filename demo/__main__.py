"""The command: starts simulator and Airflow, runs the demo DAG, shows it, checks it and stops everything."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from demo.check import gather, judge
from demo.picture import Album, write_picture
from demo.plan import (
    API_VARIABLE,
    BASE_URL_VARIABLE,
    DAG_ID,
    KEY_VARIABLE,
    TASK_VARIABLE,
    Plan,
    UsageError,
    plan_of,
)
from demo.probe import find_api
from demo.progress import Watch
from demo.screen import Screen, make_console, result
from demo.simulator import running_simulator
from local_airflow import DagRun, LocalAirflow, WaitTimeoutError

_REPOSITORY = Path(__file__).parents[1]
_DAGS = Path(__file__).with_name("dags")
_POLL_SECONDS = 0.7
_PASS, _FAIL, _USAGE = 0, 1, 2

_EPILOG = f"""\
KEEP=1 leaves Airflow and the simulator running after the result until Ctrl-C.

{KEY_VARIABLE} and {TASK_VARIABLE} together use the real service instead. First they show how it responds to
a request for that task in each dialect of the API (v1 and developer), or only in the one that {API_VARIABLE} names.
Then the same DAG waits for that one task, in the first dialect in which it was found. All requests are GETs.
{BASE_URL_VARIABLE} overrides the provider's default address. The exit code is 0 for PASS, 1 for FAIL, 2 for a wrong
usage, 130 after Ctrl-C.
"""


class Terminated(KeyboardInterrupt):
    """SIGTERM, which ends the demo like Ctrl-C."""


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Run the SeeAny provider in a real Airflow on this machine, show it, and check the result.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw a picture of the demo for the README")
    arguments = parser.parse_args(argv)
    try:
        plan = plan_of(os.environ)
    except UsageError as error:
        print(error, file=sys.stderr)
        return _USAGE
    # From here on the key is only in this process: no child gets it in its environment.
    os.environ.pop(KEY_VARIABLE, None)
    keep = os.environ.get("KEEP", "") not in ("", "0")
    signal.signal(signal.SIGTERM, _raise_terminated)
    try:
        with _private_folder(_REPOSITORY / ".demo") as folder:
            return _run(plan, folder, keep=keep, svg=arguments.svg)
    except Terminated:
        return 128 + signal.SIGTERM
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except UsageError as error:
        print(error, file=sys.stderr)
        return _USAGE
    except (OSError, RuntimeError) as error:
        # Errors of a process, the network or a timeout; `WaitTimeoutError` and those of requests are OSErrors.
        print(f"FAIL: {error}".replace(plan.api_key, "***"))
        return _FAIL
    except Exception:
        # An unexpected error might quote the key.
        print(traceback.format_exc().replace(plan.api_key, "***"), file=sys.stderr)
        print("FAIL: unexpected error, see above")
        return _FAIL


def _run(plan: Plan, folder: Path, *, keep: bool, svg: Path | None) -> int:
    screen = Screen(make_console())
    if plan.is_real:
        if (api := find_api(plan, screen)) is None:
            print("FAIL: the task was read with none of them; docs/api.md says what the responses above mean")
            return _FAIL
        plan = plan.speaking(api)
    with contextlib.ExitStack() as stack:
        service_url = plan.base_url
        if not plan.is_real:
            service_url = stack.enter_context(running_simulator(folder / "simulator.log"))
            screen.say(f"SeeAny simulator runs at {service_url}")
        screen.say("Airflow starts: api-server, scheduler, dag-processor and triggerer …")
        airflow = stack.enter_context(
            LocalAirflow(
                folder / "airflow",
                _DAGS,
                database_template=folder / "empty-database",
                env={"SEEANY_DEMO_POLL_SECONDS": f"{plan.poll_seconds:g}"},
                wait_for_dags={DAG_ID},
                say=screen.say,
            )
        )
        for conn_id, api in plan.connections.items():
            airflow.create_connection(
                conn_id, conn_type="seeany", host=service_url, password=plan.api_key, extra={"api": api}
            )
        code = _run_dag(plan, airflow, service_url, screen, svg)
        if code != _PASS:
            screen.say(f"The logs stay in {os.path.relpath(folder)}")
        if keep:
            _wait_for_ctrl_c(airflow, screen)
        return code


def _run_dag(plan: Plan, airflow: LocalAirflow, service_url: str | None, screen: Screen, svg: Path | None) -> int:
    run = airflow.trigger_dag(DAG_ID, conf=plan.conf)
    screen.say(f"DAG {DAG_ID} runs {len(plan.all_ids)} waits; the progress below comes from Airflow's task logs\n")
    watch = Watch(airflow, run, plan.all_ids, time.monotonic)
    album = Album()

    def poll(_: DagRun) -> None:
        view = watch.poll()
        album.take(view)
        screen.show(view)

    timed_out = None
    with screen.following():
        try:
            airflow.wait_for_run(run, timeout=plan.run_seconds, poll_seconds=_POLL_SECONDS, on_poll=poll)
        except WaitTimeoutError as error:
            timed_out = error
    if timed_out is not None:
        screen.say(f"the run did not end {timed_out}")
    evidence = gather(airflow, run, plan, service_url)
    verdict = judge(plan, evidence)
    outcome = result(evidence, verdict, max_deferred=watch.max_deferred, busy=watch.busy_while_all_waited)
    screen.console.print(outcome)
    if svg is not None:
        write_picture(svg, album.best, outcome)
    return _PASS if verdict.passed else _FAIL


def _wait_for_ctrl_c(airflow: LocalAirflow, screen: Screen) -> None:
    screen.console.print(f"\nAirflow is at {airflow.url}/dags/{DAG_ID} (no login needed). Ctrl-C stops it.")
    try:
        while True:
            airflow.check()
            time.sleep(1)
    except KeyboardInterrupt:
        # The regular end with KEEP=1: the exit code stays that of the result.
        screen.say("stopping …")


@contextlib.contextmanager
def _private_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder that no other demo uses; leave only logs in it."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f"another demo runs in {os.path.relpath(folder)}; wait for it or stop it") from None
        home = folder / "airflow"
        shutil.rmtree(home, ignore_errors=True)
        try:
            yield folder
        finally:
            # The connection with the API key, and the key of its encryption.
            for file in (*home.glob("airflow.db*"), home / "keys.json"):
                file.unlink(missing_ok=True)


def _raise_terminated(number: int, frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
