"""A server that quotes the key, and waits that only a user ends; shared by their DAG and their tests."""

from __future__ import annotations

from tests.hostile import COMPLETED, Responder, page, raw, reply

KEY = "sk-marked-Zq7Kx9WvT2mLpR4nYs8BdHc5"
"""The key of the connections to the simulator and to the quoting server."""


def _quoting() -> dict[str, Responder]:
    header = f"Authorization: Bearer {KEY}"
    done = {
        **COMPLETED,
        "id": "done",
        "video_url": f"https://cdn.example/v.mp4?key={KEY}",
        "thumbnail_url": f"javascript:alert('{KEY}')",
        "resolution": KEY,
        "usage": {"cost": 0.7, "cost_unit": KEY},
        KEY: {"nested": [header]},
    }
    return {
        "refused": reply(401, {"error": {"code": KEY, "message": f"bad header {header}"}}),
        "odd": reply(400, f"{header}\n" * 50, ("X-Request-Id", KEY)),
        "broken": reply(500, {"message": header}),
        "moved": reply(302, b"", ("Location", f"https://elsewhere.example/{KEY}?key={KEY}")),
        "page": page(200, f"<p>{header}</p>"),
        "status_line": raw(f"HTTP/1.1 {KEY}\r\n\r\n".encode()),
        "chunk": raw(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{KEY}\r\n".encode()),
        "failed": reply(200, {"id": "failed", "status": "failed", "error": {"code": KEY, "message": f"no: {header}"}}),
        "done": reply(200, done),
        "status": reply(200, {"id": "status", "status": KEY, "progress": 5}),
    }


ECHOES = _quoting()
"""The responses of the quoting server, by the task's id."""

ENDS = ("refused", "failed", "page", "done")
"""One for each way in which a wait ends: refused, failed, timed out, completed."""

ECHOED = {"deferred": tuple(ECHOES), "poke": ENDS, "worker_free": ENDS, "operator": ENDS}
"""The responses that are quoted in each mode: what they are made of is the same in all."""

HELD = {mode: f"never-held-{mode}-8d2f" for mode in ("poke", "deferred", "worker_free", "batch", "resumed")}
"""The SeeAny tasks of waits that a user has to end."""
