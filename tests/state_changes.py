"""Lets PostgreSQL itself record every change of a task instance's state, whoever makes it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.orm import Session

_KEEPING = """
CREATE TABLE state_changes (number bigserial, task_instance_id uuid, became text);
CREATE FUNCTION keep_state_change() RETURNS trigger AS $$ BEGIN
  IF NEW.state IS DISTINCT FROM OLD.state THEN
    INSERT INTO state_changes (task_instance_id, became) VALUES (NEW.id, NEW.state);
  END IF; RETURN NEW; END $$ LANGUAGE plpgsql;
CREATE TRIGGER keep_state_changes AFTER UPDATE ON task_instance FOR EACH ROW EXECUTE FUNCTION keep_state_change();
"""


def keep_state_changes(database: Connection | Session) -> None:
    """Begin to keep them, in a database of Airflow."""
    database.execute(text(_KEEPING))


def states_after_deferral(database: Connection | Session, task_instance_id: Any) -> list[str]:
    """Return the states that a task instance has had since it was deferred, which has happened once."""
    became = database.execute(
        text("SELECT became FROM state_changes WHERE task_instance_id = :id ORDER BY number").bindparams(
            id=str(task_instance_id)
        )
    )
    states = [state for (state,) in became]
    assert states.count("deferred") == 1, states
    return states[states.index("deferred") + 1 :]
