"""Runs the local Airflow for real: states, XComs, logs, a killed triggerer, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from local_airflow import ComponentDiedError, DagRun, LocalAirflow
from local_airflow.guardian import is_alive

pytestmark = [pytest.mark.system, pytest.mark.large, pytest.mark.xdist_group("local_airflow")]

DAGS = Path(__file__).parent / "dags"
SECRET = "a secret of the person's shell"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory, database_template: Path) -> Iterator[LocalAirflow]:
    with pytest.MonkeyPatch.context() as patch:
        # None of these may have an effect.
        patch.setenv("AIRFLOW__CORE__EXECUTOR", "no.such.Executor")
        patch.setenv("AIRFLOW_CONN_OF_THE_SHELL", "http://example.com")
        patch.setenv("SOME_API_KEY", SECRET)
        with LocalAirflow(
            tmp_path_factory.mktemp("home"),
            DAGS,
            database_template=database_template,
            wait_for_dags={"plain", "waiting"},
        ) as running:
            yield running
            pids = running.pids()
            assert len(pids) >= 4
        assert not [pid for pid in pids if is_alive(pid)]


@pytest.fixture(scope="module")
def plain_run(airflow: LocalAirflow) -> DagRun:
    states: list[str] = []
    run = airflow.trigger_dag("plain", conf={"answer": 42})
    run = airflow.wait_for_run(run, on_poll=lambda latest: states.append(latest.state))
    assert states[-1] == run.state
    return run


def test_returns_the_state_in_which_each_task_ended(airflow: LocalAirflow, plain_run: DagRun) -> None:
    states = {instance.name: instance.state for instance in airflow.task_instances(plain_run)}
    assert states == {
        "push": "success",
        "double[0]": "success",
        "double[1]": "success",
        "double[2]": "success",
        "fail": "failed",
    }
    assert plain_run.state == "failed"
    assert plain_run.conf == {"answer": 42}
    assert all(each.start and each.end and each.try_number == 1 for each in airflow.task_instances(plain_run))


def test_returns_xcoms_in_the_types_in_which_they_were_pushed(airflow: LocalAirflow, plain_run: DagRun) -> None:
    assert airflow.xcoms(plain_run, "push") == {
        "text": "42",
        "number": 1.5,
        "nothing": None,
        "with/slash and blank": [1, "two", None],
        "return_value": {"url": "https://example.com/a.mp4", "cost": 0.25, "tags": ["a", "b"], "paid": True},
    }
    assert airflow.xcoms(plain_run, "double", map_index=2) == {"return_value": 6}
    assert airflow.xcoms(plain_run, "fail") == {}


def test_returns_the_log_of_a_task_as_text(airflow: LocalAirflow, plain_run: DagRun) -> None:
    log = airflow.log(plain_run, "push")
    assert "the conf is {'answer': 42}" in log
    assert "the variables of the shell are []" in log
    assert airflow.log(plain_run, "double", map_index=1).count("Done. Returned value was: 4") == 1


def test_returns_the_exception_of_a_failed_task(airflow: LocalAirflow, plain_run: DagRun) -> None:
    lines = airflow.log(plain_run, "fail").splitlines()
    assert any("ERROR Task failed with exception" in line for line in lines)
    assert "ValueError: this task fails on purpose" in lines
    assert any(line.startswith("  File ") and line.endswith("in fail") for line in lines)


def test_lets_a_person_in_without_login(airflow: LocalAirflow) -> None:
    page = requests.get(f"{airflow.url}/auth/token/login", timeout=30)
    assert page.status_code == 200
    assert "<html" in page.text


def test_listens_on_the_loopback_only(airflow: LocalAirflow) -> None:
    own = _socket_inodes(airflow.pids())
    listening = {
        (int(address.split(":")[0], 16), int(address.split(":")[1], 16))
        for table in ("tcp", "tcp6")
        for fields in (line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:])
        for address in [fields[1]]
        if fields[3] == "0A" and fields[9] in own
    }
    port = int(airflow.url.rpartition(":")[2])
    assert listening == {(int.from_bytes(socket.inet_aton("127.0.0.1"), sys.byteorder), port)}


def test_stores_a_connection(airflow: LocalAirflow) -> None:
    airflow.create_connection("stored", conn_type="http", host="example.com", password=SECRET, extra={"timeout": 5})
    airflow.create_connection("stored", conn_type="http", host="example.org", password=SECRET, replace=True)
    assert airflow.client.request("GET", "/connections/stored")["host"] == "example.org"


def test_finishes_a_wait_whose_triggerer_was_killed(airflow: LocalAirflow) -> None:
    run = airflow.trigger_dag("waiting")
    airflow.wait_for_task(run, "wait", {"deferred"})
    triggerer = airflow.process("triggerer")
    killed = triggerer.pids()
    triggerer.kill()
    assert not triggerer.is_running
    assert not [pid for pid in killed if is_alive(pid)]
    airflow.restart("triggerer")
    assert airflow.wait_for_run(run).state == "success"
    assert "Trigger fired event" in airflow.log(run, "wait")


def test_refuses_a_second_airflow_in_the_same_home(airflow: LocalAirflow) -> None:
    with pytest.raises(RuntimeError, match="another Airflow runs"), LocalAirflow(airflow.home, DAGS):
        pass


def test_raises_with_the_log_of_a_component_that_died_at_the_start(tmp_path: Path, database_template: Path) -> None:
    broken = LocalAirflow(
        tmp_path / "home",
        DAGS,
        database_template=database_template,
        env={"AIRFLOW__CORE__EXECUTOR": "no.such.Executor"},
        processes=("api-server", "scheduler"),
    )
    with pytest.raises(ComponentDiedError, match=r"no\.such"), broken:
        pass
    assert not broken.pids()


def test_leaves_nothing_behind_when_it_is_killed(tmp_path: Path, database_template: Path) -> None:
    """Kills a process that runs an Airflow under a path prefix, where an import error is met too."""
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "broken.py").write_text("from airflow.sdk import dag\nraise ValueError('a broken dag file')\n")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from local_airflow import DagImportError, LocalAirflow\n"
        "home, dags, template = map(Path, sys.argv[1:])\n"
        "running = LocalAirflow(home, dags, database_template=template, base_url_path='/prefix',\n"
        "                       processes=['api-server', 'dag-processor', 'triggerer'], say=lambda text: None)\n"
        "with running:\n"
        "    try:\n"
        "        running.wait_for_dags({'never'})\n"
        "    except DagImportError as error:\n"
        "        print('a broken dag file' in str(error), flush=True)\n"
        "    print(*running.pids(), flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "home"), str(dags), str(database_template)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) >= 4
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    deadline = time.monotonic() + 10
    while (left := [pid for pid in pids if is_alive(pid)]) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not left


def _socket_inodes(pids: set[int]) -> set[str]:
    inodes = set()
    for pid in pids:
        # Processes end and files are closed meanwhile.
        with suppress(FileNotFoundError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(FileNotFoundError):
                    inodes.update(re.findall(r"^socket:\[(\d+)]$", os.readlink(link)))
    return inodes
