"""The keys of a stack on AWS: in the secret that ingest reads, and in API Gateway's usage plan.

Each key that this module has made is in API Gateway under a name of the stack, its own and the
beginning of its hash. So what a command leaves that dies half-way is known, and the next one
for that key removes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from awsio import clients
from awsio.errors import translated
from contracts.keys import BrokenKeysError, Key, digest_of, read_keys, write_keys
from darkroom_cli.errors import CommandError
from servicekit.errors import AppError

T = TypeVar("T")
CURRENT: Final = "AWSCURRENT"
OURS: Final = "darkroom-next"  # a version that is written, and not yet the one that is read
TRIES: Final = 5
SECONDS: Final = 120
DIGEST: Final = 12  # characters that tell the keys of one name


@dataclass(frozen=True, slots=True, kw_only=True)
class DeployedKeys:
    """The keys of one stack; raises `CommandError`, and `AppError` of AWS."""

    stack_name: str

    def read(self) -> list[Key]:
        """The keys that ingest reads besides those of the playbooks."""
        _, keys = asyncio.run(self._within(_Aws.read))
        return list(keys)

    def change(
        self, name: str, change: Callable[[Sequence[Key]], list[Key]], new: str = ""
    ) -> None:
        """Keep what `change` makes of the keys, which is about `name`; it may be called again.

        `new` is the key that it adds: API Gateway lets it pass before ingest knows it.
        """
        asyncio.run(self._within(lambda aws: aws.change(name, change, new)))

    async def _within(self, work: Callable[[_Aws], Awaitable[T]]) -> T:
        async with AsyncExitStack() as exits, asyncio.timeout(SECONDS):
            return await work(
                _Aws(
                    stack=self.stack_name.lower(),
                    secrets=await exits.enter_async_context(clients.secrets()),
                    gateway=await exits.enter_async_context(clients.api_gateway()),
                )
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aws:
    stack: str
    secrets: Any
    gateway: Any

    @property
    def secret(self) -> str:
        return f"{self.stack}-api-keys"

    async def read(self) -> tuple[str, list[Key]]:
        """The version that is read now, and its keys."""
        try:
            with translated("secretsmanager.get_secret_value"):
                found = await self.secrets.get_secret_value(SecretId=self.secret)
            return found["VersionId"], read_keys(found.get("SecretString", "").encode())
        except AppError as error:
            if error.details.get("code") != "ResourceNotFoundException":
                raise
            raise CommandError(
                f"there is no secret {self.secret} in {clients.region()}: is --stack-name that"
                " of the configuration, and the stack of this release?"
            ) from error
        except BrokenKeysError as error:
            raise CommandError(f"the secret {self.secret} cannot be used: {error}") from error

    async def change(
        self, name: str, change: Callable[[Sequence[Key]], list[Key]], new: str
    ) -> None:
        version, keys = await self.read()
        change(keys)  # what it refuses leaves nothing behind
        plan = await self._plan()
        if new:
            await self._let_pass(plan, name, new)
        for _ in range(TRIES):
            if await self._write(version, wanted := change(keys)):
                await self._prune(plan, name, wanted)
                return
            version, keys = await self.read()
        raise CommandError(f"others change the secret {self.secret}, too: try again")

    async def _write(self, version: str, keys: list[Key]) -> bool:
        """Have the keys read from now on; False if `version` is no longer what is read."""
        try:
            text = write_keys(keys)
        except BrokenKeysError as error:
            raise CommandError(str(error)) from error
        with translated("secretsmanager.put_secret_value"):
            put = await self.secrets.put_secret_value(
                SecretId=self.secret, SecretString=text, VersionStages=[OURS]
            )
        try:
            # AWS refuses to move a label from where it is not: whoever reads first writes.
            with translated("secretsmanager.update_secret_version_stage"):
                await self.secrets.update_secret_version_stage(
                    SecretId=self.secret,
                    VersionStage=CURRENT,
                    MoveToVersionId=put["VersionId"],
                    RemoveFromVersionId=version,
                )
        except AppError as error:
            if error.details.get("code") != "InvalidParameterException":
                raise
            return False
        return True

    async def _plan(self) -> str | None:
        """The usage plan of the stack; None where API Gateway is not the way in."""
        with translated("apigateway.get_usage_plans"):
            async for page in self.gateway.get_paginator("get_usage_plans").paginate():
                for plan in page["items"]:
                    if plan.get("name") == self.stack:
                        return str(plan["id"])
        return None

    async def _let_pass(self, plan: str | None, name: str, new: str) -> None:
        if plan is None:
            return
        with translated("apigateway.create_api_key"):
            made = await self.gateway.create_api_key(
                name=self._passing(name, digest_of(new.encode())), value=new, enabled=True
            )
        with translated("apigateway.create_usage_plan_key"):
            await self.gateway.create_usage_plan_key(
                usagePlanId=plan, keyId=made["id"], keyType="API_KEY"
            )

    async def _prune(self, plan: str | None, name: str, keys: list[Key]) -> None:
        """Let only those of this name pass that ingest lets in."""
        now = datetime.now(UTC)
        good = {
            self._passing(name, key.sha256)
            for key in keys
            if key.name == name and (key.expires_at is None or key.expires_at > now)
        }
        for id, passing in await self._all_passing(name) if plan else ():
            if passing not in good:
                with translated("apigateway.delete_usage_plan_key"):
                    await self.gateway.delete_usage_plan_key(usagePlanId=plan, keyId=id)
                with translated("apigateway.delete_api_key"):
                    await self.gateway.delete_api_key(apiKey=id)

    async def _all_passing(self, name: str) -> list[tuple[str, str]]:
        start = self._passing(name, "")
        length = len(start) + DIGEST
        pages = self.gateway.get_paginator("get_api_keys").paginate(nameQuery=start)
        with translated("apigateway.get_api_keys"):
            return [
                (key["id"], key["name"])
                async for page in pages
                for key in page["items"]
                if key["name"].startswith(start) and len(key["name"]) == length
            ]

    def _passing(self, name: str, digest: str) -> str:
        return f"{self.stack}/{name}/{digest[:DIGEST]}"
