"""Serving the UI's modules so that a browser notices a new version of the provider at once."""

from __future__ import annotations

import mimetypes
import os

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

# A system's own table may say text/plain, and browsers run no module of that type.
mimetypes.add_type("text/javascript", ".js")


class RevalidatedFiles(StaticFiles):
    """Files that a browser may keep, but asks about before it uses them again."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Look for a file; one whose name no file can have is not there."""
        try:
            return super().lookup_path(path)
        except ValueError:
            return "", None

    def file_response(
        self,
        full_path: str | os.PathLike[str],
        stat_result: os.stat_result,
        scope: dict[str, object],  # type: ignore[override]
        status_code: int = 200,
    ) -> Response:
        """Answer with a file."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
