"""The application that the plugin mounts in Airflow's api-server."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI

from airflow_provider_seeany.web.budget import routes as budget
from airflow_provider_seeany.web.callback import routes as callback
from airflow_provider_seeany.web.results import routes as results
from airflow_provider_seeany.web.static_files import RevalidatedFiles

STATIC = Path(__file__).with_name("static")


def create_app() -> FastAPI:
    """Create the application. Airflow does not authenticate its routes, so each does that itself."""
    # A redirect from a path with a trailing slash would reveal the callback route while no secret is set.
    app = FastAPI(title="SeeAny", docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.state.callback_secrets = callback.secrets_at_start()
    app.router.routes.append(callback.route)
    app.include_router(budget.router)
    app.include_router(results.router)
    app.mount("/static", RevalidatedFiles(directory=STATIC), name="static")
    return app
