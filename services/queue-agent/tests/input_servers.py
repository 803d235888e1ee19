"""What the tests of inputs share: a resolver that says what it is told, and one fetch."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from datetime import timedelta

from aiohttp.abc import AbstractResolver, ResolveResult
from queue_agent_fakes import whole

from egress.addresses import AddressRules
from queue_agent.domain import InputUnavailableError
from queue_agent.inputs.http import http_inputs
from queue_agent.settings import USER_AGENT

PATIENCE = timedelta(seconds=5)


@dataclass
class FakeResolver(AbstractResolver):
    """Answers each question with the next of its answers, the last one again and again."""

    answers: list[list[str]]
    asked: list[str] = field(default_factory=list)

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        answer = self.answers[min(len(self.asked), len(self.answers) - 1)]
        self.asked.append(host)
        if not answer:
            raise OSError("no such host")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer
        ]

    async def close(self) -> None: ...


async def fetch(
    url: str,
    rules: AddressRules,
    resolver: FakeResolver | None = None,
    *,
    patience: timedelta = PATIENCE,
    limit: int = 100,
) -> bytes:
    """Read a URL of at most `limit` bytes as the agent does."""
    taken = 0

    def take(size: int) -> None:
        nonlocal taken
        taken += size
        if taken > limit:
            raise InputUnavailableError("too large")

    async with http_inputs(
        patience=patience, redirects=2, rules=rules, agent=USER_AGENT, resolver=resolver
    ) as reader:
        return whole(await reader.read(url, take))
