"""`darkroom webhooks`: who is told of the end of tasks, and whether they heard."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import (
    AsJson,
    DataDir,
    Endpoint,
    KeyFile,
    call,
    notes,
    out,
    show_json,
    show_rows,
)

if TYPE_CHECKING:
    from darkroom_cli.api import Api

WebhookId = Annotated[
    str, typer.Argument(metavar="ID", help="As `darkroom webhooks list` shows it.")
]
Tenant = Annotated[
    str | None,
    typer.Option(help="Whose webhooks, for a key of scope admin.", show_default=False),
]


def webhooks_add(
    url: Annotated[str, typer.Argument(help="Where requests are sent: public, https.")],
    events: Annotated[
        str, typer.Option(help="Of what: some of completed,failed,cancelled.")
    ] = "completed,failed,cancelled",
    runtime: Annotated[
        str | None, typer.Option(help="Only of tasks of this runtime.", show_default=False)
    ] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Add a webhook, and print its secret, which is told this once.

    Example: darkroom webhooks add https://studio.example.com/in --events completed,failed
    """

    async def add(api: Api) -> None:
        chosen = [each.strip() for each in events.split(",")]
        made = await api.client.add_webhook(url, events=chosen, runtime=runtime, tenant=tenant)
        if as_json:
            show_json(made.raw)
            return
        say_secret(str(made.secret))
        out.print(made.id, highlight=False)

    call(add, endpoint, api_key_file, data_dir)


def webhooks_list(
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """List the webhooks of a tenant, oldest first.

    Example: darkroom webhooks list --tenant studio
    """

    async def show(api: Api) -> None:
        listed = await api.client.webhooks(tenant=tenant)
        if as_json:
            show_json([each.raw for each in listed])
            return
        rows = [
            {**each.raw, "events": ",".join(each.events), "runtime": each.runtime or "all"}
            for each in listed
        ]
        show_rows(rows, "id", "state", "events", "runtime", "url", wrapped="url")

    call(show, endpoint, api_key_file, data_dir)


def webhooks_remove(
    webhook: WebhookId,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Remove a webhook: nothing more is sent to it.

    Example: darkroom webhooks remove wh_01JD0000000000000000000000
    """

    async def remove(api: Api) -> None:
        removed = await api.client.remove_webhook(webhook, tenant=tenant)
        if as_json:
            show_json(removed.raw)
        else:
            out.print(f"removed {removed.id}", highlight=False)

    call(remove, endpoint, api_key_file, data_dir)


def webhooks_rotate(
    webhook: WebhookId,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Give a webhook a new secret; for a day its requests are signed with the old one, too.

    Example: darkroom webhooks rotate wh_01JD0000000000000000000000
    """

    async def rotate(api: Api) -> None:
        made = await api.client.rotate_webhook(webhook, tenant=tenant)
        if as_json:
            show_json(made.raw)
            return
        say_secret(made.secret)
        out.print(f"the old secret is used until {made.raw['old_until']}", highlight=False)

    call(rotate, endpoint, api_key_file, data_dir)


def webhooks_test(
    webhook: WebhookId,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Have an event `webhook.test` sent; `darkroom webhooks deliveries` tells how it went.

    Example: darkroom webhooks test wh_01JD0000000000000000000000
    """

    async def try_it(api: Api) -> None:
        uid = await api.client.test_webhook(webhook, tenant=tenant)
        if as_json:
            show_json({"uid": uid})
        else:
            out.print(f"the test {uid} will be sent", highlight=False)

    call(try_it, endpoint, api_key_file, data_dir)


def webhooks_replay(
    webhook: WebhookId,
    since: Annotated[
        str, typer.Option(help="Of tasks that ended then or later: 2026-01-02T00:00Z.")
    ],
    until: Annotated[
        str | None,
        typer.Option(help="Of tasks that ended then or earlier. [default: now]"),
    ] = None,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Have the ends of the tasks of a time sent again. A time without a zone is local.

    Example: darkroom webhooks replay wh_01JD0000000000000000000000 --since 2026-01-02
    """

    async def again(api: Api) -> None:
        begin = _moment("--since", since)
        end = None if until is None else _moment("--until", until)
        sent = await api.client.replay_webhook(webhook, begin, until=end, tenant=tenant)
        if as_json:
            show_json(sent.raw)
        else:
            out.print("the events will be sent again", highlight=False)

    call(again, endpoint, api_key_file, data_dir)


def webhooks_deliveries(
    webhook: WebhookId,
    tenant: Tenant = None,
    as_json: AsJson = False,
    endpoint: Endpoint = None,
    api_key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Show what became of the newest events of a webhook: a hundred, of the last week.

    Example: darkroom webhooks deliveries wh_01JD0000000000000000000000 --json
    """

    async def show(api: Api) -> None:
        found = await api.client.deliveries(webhook, tenant=tenant)
        if as_json:
            show_json([each.raw for each in found])
            return
        columns = ("uid", "event", "state", "tries", "tried_at", "next_try_at", "error")
        rows = [{name: each.raw[name] or "" for name in columns} for each in found]
        show_rows(rows, *columns, wrapped="error")

    call(show, endpoint, api_key_file, data_dir)


def say_secret(secret: str) -> None:
    """Tell a secret on standard output, and beside it that this was the only time."""
    notes.print("The secret, which is not told again:", style="dim", highlight=False)
    out.print(secret, highlight=False, markup=False, soft_wrap=True)


def _moment(option: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise CommandError(
            f"{option} '{text}' is no time: write 2026-01-02, or 2026-01-02T15:04Z"
        ) from None
