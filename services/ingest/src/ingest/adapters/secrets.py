"""`KeysSecret` in AWS Secrets Manager."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from awsio.errors import translated
from contracts.keys import Key, read_keys


@dataclass(slots=True, kw_only=True)
class SecretsManagerKeys:
    """A secret whose text is a file of keys."""

    client: Any
    name: str
    _version: str = field(default="", init=False)

    async def changed(self) -> list[Key] | None:
        with translated("secretsmanager.get_secret_value"):
            answer = await self.client.get_secret_value(SecretId=self.name)
        if answer["VersionId"] == self._version:
            return None
        keys = read_keys(answer.get("SecretString", "").encode())
        self._version = answer["VersionId"]
        return keys
