"""The routes of webhooks: where a tenant is told of the end of its tasks."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Query
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.requests import Request

from contracts.callback import TerminalStatus
from ingest.bodies import Bodies
from ingest.http import openapi
from ingest.http.body import read_model
from ingest.http.edge import caller_of
from ingest.http.webhook_views import (
    DeliveriesView,
    NewSecretView,
    NewWebhookView,
    ReplayView,
    TestView,
    WebhooksView,
    WebhookView,
)
from ingest.look_up import check_tenant
from ingest.ports import Router, Webhooks
from servicekit.errors import RejectedError

Tenant = Annotated[
    str | None,
    Query(description="Whose webhooks, for a key of scope `admin`; else those of its tenant."),
]
EXAMPLE = {"url": "https://studio.example.com/darkroom", "events": ["completed", "failed"]}
REPLAY_EXAMPLE = {"since": "2026-01-02T00:00:00Z", "until": "2026-01-03T00:00:00Z"}


class NewWebhook(BaseModel):
    """Where a tenant wants to be told, and of what."""

    model_config = ConfigDict(extra="forbid")

    url: str = Field(min_length=1, max_length=2048, description="Public, http or https.")
    events: list[TerminalStatus] = Field(min_length=1, max_length=3)
    runtime: str = Field(default="", max_length=256, description="Only of its tasks.")


class ReplayRequest(BaseModel):
    """Of the tasks that ended in which time."""

    model_config = ConfigDict(extra="forbid")

    since: AwareDatetime = Field(description="With a time zone, as RFC 3339 has it.")
    until: AwareDatetime | None = Field(default=None, description="Unset: now.")


def add_webhooks(app: FastAPI, webhooks: Webhooks, router: Router, bodies: Bodies) -> None:
    """Add the routes that change webhooks and those that read them."""
    _add_reading(app, webhooks)

    @app.post(
        "/v1/webhooks",
        operation_id="createWebhook",
        summary="Add a webhook; its secret is told this once",
        status_code=201,
        responses=openapi.refusals(openapi.SUBMITTING),
        openapi_extra=openapi.json_body(NewWebhook, {"two events": EXAMPLE}),
    )
    async def create_webhook(request: Request, tenant: Tenant = None) -> NewWebhookView:
        whose = _tenant(request, tenant)
        new = await read_model(NewWebhook, request, bodies)
        if new.runtime:
            await _check_runtime(router, new.runtime)
        webhook, secret = await webhooks.create(whose, new.url, new.events, new.runtime)
        return NewWebhookView.made(webhook, secret)

    @app.delete(
        "/v1/webhooks/{id}",
        operation_id="deleteWebhook",
        summary="Remove a webhook: nothing more is sent to it",
        responses=openapi.refusals(openapi.OF_TENANT),
    )
    async def delete_webhook(request: Request, id: str, tenant: Tenant = None) -> WebhookView:
        return WebhookView.of(await webhooks.delete(_tenant(request, tenant), id))

    @app.post(
        "/v1/webhooks/{id}/rotate",
        operation_id="rotateWebhook",
        summary="Give a webhook a new secret; for a day requests are signed with both",
        responses=openapi.refusals(openapi.SUBMITTING),
    )
    async def rotate_webhook(request: Request, id: str, tenant: Tenant = None) -> NewSecretView:
        return NewSecretView.of(await webhooks.rotate(_tenant(request, tenant), id))

    @app.post(
        "/v1/webhooks/{id}/test",
        operation_id="testWebhook",
        summary="Send an event `webhook.test` to a webhook, soon",
        status_code=202,
        responses=openapi.refusals(openapi.SUBMITTING),
    )
    async def test_webhook(request: Request, id: str, tenant: Tenant = None) -> TestView:
        return TestView(uid=await webhooks.test(_tenant(request, tenant), id))

    @app.post(
        "/v1/webhooks/{id}/replay",
        operation_id="replayWebhook",
        summary="Send the ends of the tasks of a time to a webhook again, soon",
        status_code=202,
        responses=openapi.refusals(openapi.SUBMITTING),
        openapi_extra=openapi.json_body(ReplayRequest, {"a day": REPLAY_EXAMPLE}),
    )
    async def replay_webhook(request: Request, id: str, tenant: Tenant = None) -> ReplayView:
        whose = _tenant(request, tenant)
        wanted = await read_model(ReplayRequest, request, bodies)
        await webhooks.replay(whose, id, wanted.since, wanted.until)
        return ReplayView(since=wanted.since, until=wanted.until)


def _add_reading(app: FastAPI, webhooks: Webhooks) -> None:
    @app.get(
        "/v1/webhooks",
        operation_id="listWebhooks",
        summary="List the webhooks of a tenant, oldest first",
        responses=openapi.refusals(openapi.OF_TENANT),
    )
    async def list_webhooks(request: Request, tenant: Tenant = None) -> WebhooksView:
        return WebhooksView.of(await webhooks.list(_tenant(request, tenant)))

    @app.get(
        "/v1/webhooks/{id}/deliveries",
        operation_id="listDeliveries",
        summary="Tell what became of the newest events of a webhook: a hundred, of a week",
        responses=openapi.refusals(openapi.OF_TENANT),
    )
    async def list_deliveries(
        request: Request, id: str, tenant: Tenant = None
    ) -> DeliveriesView:
        return DeliveriesView.of(await webhooks.deliveries(_tenant(request, tenant), id))


def _tenant(request: Request, named: str | None) -> str:
    """Whose webhooks are meant; raises `RejectedError` if they are none of the caller's."""
    return check_tenant(caller_of(request.scope), named)


async def _check_runtime(router: Router, name: str) -> None:
    """A webhook for a name that is mistyped would wait for ever."""
    known = sorted(runtime.name for runtime in await router.runtimes())
    if name.lower() not in known:
        raise RejectedError(
            f"there is no runtime '{name}'; there are: {', '.join(known)}",
            code="runtime_not_found",
        )
