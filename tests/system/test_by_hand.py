"""`airflow dags test` and `airflow tasks test` with a connection in Airflow's database, as new users try a DAG."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_2_PLUS, AIRFLOW_V_3_3_PLUS

from local_airflow.database import make_database
from local_airflow.settings import Keys, Settings, free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.xdist_group("by_hand"),
    pytest.mark.skipif(
        AIRFLOW_V_3_2_PLUS and not AIRFLOW_V_3_3_PLUS,
        reason="`airflow dags test` of Airflow 3.2.2 fails with a plain DAG, too: no 'svcs_registry'",
    ),
]

DAGS = Path(__file__).parent / "command_dags"
TRIED_OUT = ".tried-out"
"""The suffix of the lineage of DAGs that were tried out; that of a single task comes beside it."""
WAITS = {"deferrable", "poke", "reschedule", "expect_callback", "worker_free", "operator", "submit", "batch"}


@dataclass(frozen=True)
class Home:
    """A home without any running process."""

    settings: Settings

    @property
    def lineage(self) -> Path:
        """The beginning of the files to which OpenLineage's listener writes its events."""
        return self.settings.home / "lineage"

    def airflow(self, *arguments: str) -> str:
        """Run a command; return what it wrote."""
        own = {
            "AIRFLOW__SEEANY__CALLBACK_SECRET": "a-secret-of-thirty-two-characters",
            "AIRFLOW__OPENLINEAGE__TRANSPORT": json.dumps({"type": "file", "log_file_path": str(self.lineage)}),
        }
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *arguments],
            env=self.settings.environment({}, own),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        return done.stdout

    def states(self, dag_id: str) -> dict[str, str | None]:
        """Return the state of each task of a DAG's only run."""
        with closing(sqlite3.connect(self.settings.home / "airflow.db")) as database:
            return dict(
                database.execute("SELECT task_id, state FROM task_instance WHERE dag_id = ?", [dag_id]).fetchall()
            )


@pytest.fixture(scope="module")
def home(simulator_url: str, database_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("by_hand")
    home = Home(Settings(home=folder, dags_folder=DAGS, port=free_port(), keys=Keys.of_home(folder)))
    make_database(home.settings, env={}, template=database_template)
    connection = ("--conn-type", "seeany", "--conn-host", simulator_url, "--conn-password", "sk-demo")
    home.airflow("connections", "add", "seeany_default", *connection)
    home.airflow("dags", "reserialize")
    return home


@pytest.fixture(scope="module")
def logs(home: Home) -> dict[str, str]:
    """What both commands wrote: they run at one time, as the waits mostly wait."""
    dag_ids = ("by_hand", "by_hand_misspelt")
    with ThreadPoolExecutor() as threads:
        written = dict(zip(dag_ids, threads.map(partial(home.airflow, "dags", "test"), dag_ids), strict=True))
    for file in home.lineage.parent.glob(f"{home.lineage.name}-*.json"):
        file.rename(file.with_suffix(TRIED_OUT))
    return written


def test_every_kind_of_wait_ends_well_in_a_dag_that_is_tried_out(home: Home, logs: dict[str, str]) -> None:
    assert home.states("by_hand") == dict.fromkeys(WAITS, "success"), logs["by_hand"]
    assert ("Airflow keeps nothing between the tries" in logs["by_hand"]) != AIRFLOW_V_3_3_PLUS


def test_a_task_that_is_tried_out_finds_the_connection_in_its_trigger(home: Home) -> None:
    log = home.airflow("tasks", "test", "by_hand", "batch")

    assert "2 of 2 done" in log, log


def test_a_connection_that_is_nowhere_is_named_at_once(home: Home, logs: dict[str, str]) -> None:
    log = logs["by_hand_misspelt"]

    assert home.states("by_hand_misspelt") == dict.fromkeys(WAITS, "failed"), log
    assert "The Airflow connection 'seeany_misspelt' was not found" in log
    # As it does in a triggerer, where a connection may be missing for a moment.
    assert "the wait continues" not in log


def test_openlineage_gets_the_file_and_the_cost_of_every_wait(home: Home, logs: dict[str, str]) -> None:
    told: dict[str, tuple[list[str], dict[str, float]]] = {}
    for file in home.lineage.parent.glob(f"{home.lineage.name}-*{TRIED_OUT}"):
        event = json.loads(file.read_text())
        dag_id, _, task_id = event["job"]["name"].partition(".")
        if dag_id == "by_hand" and task_id and event["eventType"] == "COMPLETE":
            assert task_id not in told
            urls = [f"{each['namespace']}/{each['name']}" for each in event["outputs"]]
            told[task_id] = urls, event["run"]["facets"]["seeany"]["cost"]

    assert set(told) == WAITS, logs["by_hand"]
    assert {task_id: len(urls) for task_id, (urls, _) in told.items()} == {**dict.fromkeys(WAITS, 1), "batch": 2}
    assert all(cost["CNY"] > 0 for _, cost in told.values())
