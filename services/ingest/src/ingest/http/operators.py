"""The routes for those who run a stack."""

from __future__ import annotations

from fastapi import FastAPI
from starlette.requests import Request

from ingest.http import openapi
from ingest.http.edge import caller_of
from ingest.http.operator_views import OverviewView
from ingest.ports import Operators


def add_operators(app: FastAPI, operators: Operators) -> None:
    """Add the routes that tell how a stack does."""

    @app.get(
        "/v1/overview",
        operation_id="getOverview",
        summary="Tell how each runtime does: its queue, its last hour, and today",
        responses=openapi.refusals(openapi.READING),
    )
    async def get_overview(request: Request) -> OverviewView:
        return OverviewView.of(await operators.overview(caller_of(request.scope)))
