"""A custom XCom backend that keeps each value of one DAG in a file, and in the database only which one."""

from __future__ import annotations

import json
import os
import uuid
from pathlib import Path
from typing import Any

from airflow.sdk.bases.xcom import BaseXCom

FOLDER_VARIABLE = "SEEANY_TEST_XCOMS"
PREFIX = "xcom-file:"
DAG_ID = "backend"


class FileXCom(BaseXCom):
    """Keeps values in the folder that an environment variable names."""

    @staticmethod
    def serialize_value(
        value: Any, *, key: str | None = None, task_id: str | None = None, dag_id: str | None = None, **_: Any
    ) -> Any:
        """Write a value into a new file."""
        if dag_id != DAG_ID:
            return BaseXCom.serialize_value(value)
        name = f"{task_id}.{uuid.uuid4().hex[:8]}.{key}"
        (Path(os.environ[FOLDER_VARIABLE]) / name).write_text(json.dumps(value), encoding="utf-8")
        return PREFIX + name

    @staticmethod
    def deserialize_value(result: Any) -> Any:
        """Read a value again."""
        value = BaseXCom.deserialize_value(result)
        return json.loads(_file(value).read_text(encoding="utf-8")) if _is_ours(value) else value

    @classmethod
    def purge(cls, xcom: Any, *_: Any) -> None:
        """Delete the file of a value."""
        if _is_ours(xcom.value):
            _file(xcom.value).unlink()


def _is_ours(value: object) -> bool:
    return isinstance(value, str) and value.startswith(PREFIX)


def _file(value: str) -> Path:
    return Path(os.environ[FOLDER_VARIABLE]) / value.removeprefix(PREFIX)
