"""`darkroom keys`: who may use the stack on this machine, or one on AWS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from darkroom_cli.errors import CommandError
from darkroom_cli.terminal import AsJson, DataDir, attempt, fail, out, show_json, show_rows
from servicekit.errors import AppError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contracts.keys import Key
    from darkroom_cli.deployed_keys import DeployedKeys
    from darkroom_cli.embedded.folder import Folder

T = TypeVar("T")
DAY = 24  # hours

Name = Annotated[str, typer.Argument(metavar="NAME", help="The name of the key.")]
StackName = Annotated[
    str | None,
    typer.Option(
        "--stack-name",
        metavar="NAME",
        help="A stack on AWS, by the credentials and region of the environment.",
        show_default="the one here",
    ),
]


def keys_create(
    name: Name,
    tenant: Annotated[str, typer.Option(help="Whose key it is; only this tenant's tasks.")],
    scope: Annotated[
        Literal["read", "submit", "admin"],
        typer.Option(
            help="read: its tenant's tasks; submit: hand them in, too; admin: all tenants."
        ),
    ] = "submit",
    rate: Annotated[
        float | None, typer.Option(help="Requests a second; as ingest is set.", min=0.001)
    ] = None,
    burst: Annotated[
        int | None, typer.Option(help="Requests at one moment; as ingest is set.", min=1)
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(help="Tasks that may be open at once.", min=1, max=1000)
    ] = None,
    daily_images: Annotated[
        int | None, typer.Option(help="Images of a day (UTC).", min=1)
    ] = None,
    monthly_budget: Annotated[
        float | None, typer.Option(help="Money of a month (UTC).", min=0.000001)
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="When it ends: 2027-01-31, or a time with its zone.")
    ] = None,
    as_json: AsJson = False,
    stack_name: StackName = None,
    data_dir: DataDir = None,
) -> None:
    """Make a key, and print it once: only its hash is kept.

    A stack that runs here knows it a second later, one on AWS within a minute.

    Examples:

    darkroom keys create bot --tenant studio --concurrency 50 --daily-images 1000

    darkroom keys create dashboard --tenant studio --scope read --expires 2027-01-31

    darkroom keys create bot --tenant studio --stack-name sdoneks
    """
    quota = {
        "open_tasks": concurrency,
        "daily_images": daily_images,
        "monthly_budget": None if monthly_budget is None else str(monthly_budget),
    }

    def make() -> tuple[str, Key]:
        secret, key = _made(
            name=name,
            tenant=tenant,
            scope=scope,
            rate_per_second=rate,
            burst=burst,
            quota=quota,
            expires_at=None if expires is None else _moment(expires),
        )

        def added(keys: Sequence[Key]) -> list[Key]:
            if any(each.name == name for each in keys):
                raise CommandError(
                    f"there is a key '{name}': rotate it, or choose another name"
                )
            return [*keys, key]

        _ring(stack_name, data_dir).change(name, added, secret)
        return secret, key

    _show_once(*_tried(make), as_json=as_json)


def keys_list(
    as_json: AsJson = False, stack_name: StackName = None, data_dir: DataDir = None
) -> None:
    """List the keys, without the keys themselves.

    Of a stack on AWS those that this command has made, not those of its configuration.

    Example: darkroom keys list
    """
    rows = [_row(key) for key in _tried(_ring(stack_name, data_dir).read)]
    if as_json:
        show_json(rows)
        return
    rows = [{name: "" if v is None else v for name, v in row.items()} for row in rows]
    columns = ("name", "tenant", "scope", "open_tasks", "daily_images", "monthly_budget")
    show_rows(rows, *columns, "expires_at", wrapped="name")


def keys_revoke(
    name: Name,
    as_json: AsJson = False,
    stack_name: StackName = None,
    data_dir: DataDir = None,
) -> None:
    """End a key. Tasks that came with it go on.

    Example: darkroom keys revoke bot
    """

    ended: list[Key] = []

    def without(keys: Sequence[Key]) -> list[Key]:
        _named(keys, name)
        ended[:] = [key for key in keys if key.name == name]
        return [key for key in keys if key.name != name]

    _tried(lambda: _ring(stack_name, data_dir).change(name, without))
    if as_json:
        show_json([_row(key) for key in ended])


def keys_rotate(
    name: Name,
    keep: Annotated[
        float, typer.Option(help="For so many hours the former key works, too.", min=0)
    ] = DAY,
    as_json: AsJson = False,
    stack_name: StackName = None,
    data_dir: DataDir = None,
) -> None:
    """Replace a key by another with the same rights, and print that once.

    Examples:

    darkroom keys rotate bot

    darkroom keys rotate bot --keep 0
    """
    from contracts.keys import digest_of, new_key

    now, secret = datetime.now(UTC), new_key()
    made: list[Key] = []

    def rotated(keys: Sequence[Key]) -> list[Key]:
        former = _named(keys, name)
        key = former.model_copy(update={"sha256": digest_of(secret.encode())})
        made[:] = [key]
        end = min(filter(None, [former.expires_at, now + timedelta(hours=keep)]))
        kept = [former.model_copy(update={"expires_at": end})] if end > now else []
        return [*(each for each in keys if each.name != name), *kept, key]

    _tried(lambda: _ring(stack_name, data_dir).change(name, rotated, secret))
    _show_once(secret, made[0], as_json=as_json)


@dataclass(frozen=True, slots=True)
class _FolderKeys:
    """The keys of the stack on this machine."""

    folder: Folder

    def read(self) -> list[Key]:
        return self.folder.read_keys()

    def change(
        self, name: str, change: Callable[[Sequence[Key]], list[Key]], new: str = ""
    ) -> None:
        from contracts.keys import BrokenKeysError

        try:
            self.folder.write_keys(change(self.folder.read_keys()))
        except BrokenKeysError as error:
            raise CommandError(str(error)) from error


def _ring(stack_name: str | None, data_dir: DataDir) -> _FolderKeys | DeployedKeys:
    from darkroom_cli.deployed_keys import DeployedKeys
    from darkroom_cli.embedded.folder import Folder, default_folder

    if stack_name is None:
        return _FolderKeys(Folder(data_dir or default_folder()))
    if data_dir is not None:
        fail("--stack-name is a stack on AWS, and --data-dir one on this machine: give one")
    return DeployedKeys(stack_name=stack_name)


def _tried(work: Callable[[], T]) -> T:
    """What `work` gives; ends the command with one sentence if it cannot be done."""
    try:
        return attempt(work)
    except AppError as error:
        fail(error)
    except TimeoutError:
        fail("AWS took too long: try again")


def _made(**fields: Any) -> tuple[str, Key]:
    from pydantic import ValidationError

    from contracts.keys import Key, digest_of, new_key

    secret = new_key()
    try:
        return secret, Key.model_validate({**fields, "sha256": digest_of(secret.encode())})
    except ValidationError as error:
        wrong = error.errors(include_input=False)[0]
        raise CommandError(f"{wrong['loc'][-1]}: {wrong['msg']}") from None


def _named(keys: Sequence[Key], name: str) -> Key:
    """The key that stays, if there are two of a name."""
    found = [key for key in keys if key.name == name]
    if not found:
        known = ", ".join(sorted({key.name for key in keys})) or "none"
        raise CommandError(f"there is no key '{name}'; there are: {known}")
    return found[-1]


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--expires: '{text}' is no date such as 2027-01-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _show_once(secret: str, key: Key, *, as_json: bool) -> None:
    if as_json:
        show_json({"key": secret, **_row(key)})
        return
    out.print(secret, soft_wrap=True, highlight=False)


def _row(key: Key) -> dict[str, Any]:
    return {
        "name": key.name,
        "tenant": key.tenant,
        "scope": str(key.scope),
        "rate_per_second": key.rate_per_second,
        "burst": key.burst,
        **key.quota.model_dump(mode="json"),
        "expires_at": key.expires_at.isoformat() if key.expires_at else None,
    }
