"""The application that the plugin mounts in Airflow's api-server."""

from __future__ import annotations

from fastapi import FastAPI

from airflow_provider_seeany.web import callback


def create_app() -> FastAPI:
    """Make the application. Its routes are not authenticated by Airflow: each sees to that itself."""
    app = FastAPI(title="SeeAny", openapi_url=None)
    app.include_router(callback.router)
    return app
