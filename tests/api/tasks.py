"""Tasks and errors for tests of the API layer."""

from __future__ import annotations

from typing import Any

from airflow_provider_seeany.api.errors import (
    ApiError,
    PermanentError,
)
from airflow_provider_seeany.api.task import SeeAnyTask


def task_with(seeany_task_id: str, status: str = "processing", **fields: Any) -> SeeAnyTask:
    return SeeAnyTask.from_payload({"id": seeany_task_id, "status": status, **fields})


def completed(seeany_task_id: str, cost: float = 0.7, unit: str = "CNY") -> SeeAnyTask:
    return task_with(
        seeany_task_id,
        "completed",
        object="video_generation",
        video_url=f"https://cdn.seeany.com/video/{seeany_task_id}/output.mp4",
        usage={"cost": cost, "cost_unit": unit},
    )


def failed(seeany_task_id: str) -> SeeAnyTask:
    return task_with(seeany_task_id, "failed", error={"code": "policy", "message": "违反内容安全策略"})


def partial(seeany_task_id: str, files: int = 2) -> SeeAnyTask:
    return task_with(
        seeany_task_id,
        "partial_failed",
        images=[{"url": f"https://cdn.seeany.com/image/{seeany_task_id}/{number}.jpg"} for number in range(files)],
        usage={"cost": 0.4, "cost_unit": "CNY"},
        error={"code": "image_failed", "message": "部分图片生成失败"},
    )


def refusal(status: int) -> ApiError:
    return PermanentError(f"SeeAny returned HTTP {status}", http_status=status)
