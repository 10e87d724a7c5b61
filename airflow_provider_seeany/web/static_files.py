"""Serves the UI's modules so that a browser notices a new version of the provider at once."""

from __future__ import annotations

import mimetypes
import os
from typing import Any

from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

# The system's own table may contain text/plain, and browsers run no module of that type.
mimetypes.add_type("text/javascript", ".js")


class RevalidatedFiles(StaticFiles):
    """Files that a browser may cache, but revalidates before each use."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Look up a file; a name that no file can have is not found."""
        try:
            return super().lookup_path(path)
        except ValueError:
            return "", None

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return the response with a file."""
        response = super().file_response(*args, **kwargs)
        response.headers["Cache-Control"] = "no-cache"
        response.headers["X-Content-Type-Options"] = "nosniff"
        return response
