"""The bodies of the API's responses: the three documented ones, and invented ones where the platform documents none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import assert_never
from urllib.parse import quote

from .scenario import Completed, Failed, Processing, Queued, Scenario, State, What

# What files/output.mp4 is; files/make.sh made it.
DURATION = 5
RESOLUTION = "720p"

# In hundredths of a yuan, so that a cost never has more than two decimals. The video's price is that of the
# platform's example (5 s for 0.70 CNY), the image's is invented.
VIDEO_SECOND_PRICE = 14
IMAGE_PRICE = 20

Body = Mapping[str, object]


def task_body(scenario: Scenario, state: State, *, started_at: float, files_url: str) -> Body:
    """Return the state of a task that started at `started_at` (Unix seconds).

    Its result files are below `files_url` under its own id, so that no two tasks share a URL.
    """
    images = scenario.what is What.IMAGES
    head = {"id": scenario.task_id, "object": "image_set" if images else "video_generation"}
    match state:
        case Queued():
            return {**head, "status": "queued"}
        case Processing(progress, None):
            return {**head, "status": "processing", "progress": progress}
        case Processing(progress, estimated_remaining):
            return {
                **head,
                "status": "processing",
                "progress": progress,
                "estimated_remaining": estimated_remaining,
            }
        case Completed():
            results = f"{files_url}/{quote(scenario.task_id, safe='')}"
            return {
                **head,
                "status": "completed",
                "completed_at": int(started_at + scenario.seconds),
                **(_image_set(results, scenario.images) if images else _video(results)),
            }
        case Failed():
            return {
                **head,
                "status": "failed",
                "error": {"code": "content_policy_violation", "message": "生成内容违反内容安全策略"},
            }
    assert_never(state)


def error_body(code: str, message: str) -> Body:
    """Return the body of a rejected request; its shape is invented, after a failed task's `error`."""
    return {"error": {"code": code, "message": message}}


def _video(results: str) -> Body:
    return {
        "video_url": f"{results}/output.mp4",
        "thumbnail_url": f"{results}/thumb.jpg",
        "duration": DURATION,
        "resolution": RESOLUTION,
        "usage": _usage(VIDEO_SECOND_PRICE * DURATION),
    }


def _image_set(results: str, count: int) -> Body:
    # Invented: the platform says that image sets are requested in the same way, not what the response holds.
    return {
        "images": [{"url": f"{results}/image-{number}.jpg"} for number in range(1, count + 1)],
        "usage": _usage(IMAGE_PRICE * count),
    }


def _usage(hundredths: int) -> Body:
    return {"cost": hundredths / 100, "cost_unit": "CNY"}
