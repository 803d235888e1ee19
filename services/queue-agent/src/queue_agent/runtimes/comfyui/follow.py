"""Following one prompt of ComfyUI to its end, over the websocket and without it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp

from contracts.state import Progress
from queue_agent.concurrency import run_with
from queue_agent.domain import RuntimeLostError, RuntimeSilentError
from queue_agent.ports import Report, Started
from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.turn import Turn

FRAME_BYTES: Final = 64 * 2**20  # previews of large images come as one frame
_ENDS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Waits for the end of prompts that a server has taken."""

    http: RuntimeHttp
    poll: timedelta
    silence: timedelta

    async def follow(
        self, prompt_id: str, client_id: str, report: Report, started: Started
    ) -> dict[str, Any]:
        """The history entry of a prompt, when it has ended.

        The websocket tells progress and wakes us early; only the history tells the end. Raises
        `RuntimeLostError` when the server is gone, silent for too long or does not know the
        prompt any more. `started` is called before that, too, unless the prompt was last seen
        to wait for others.
        """
        turn, wake = Turn(started), asyncio.Event()
        listening = self._listen(prompt_id, client_id, report, turn, wake)
        with turn.judged_if_lost():
            entry = await run_with(self._wait(prompt_id, turn, wake), listening)
        turn.begun()
        return entry

    async def entry(self, prompt_id: str) -> dict[str, Any] | None:
        """The history entry of a prompt; None if it has not ended."""
        answer = await self.http.get(f"/history/{prompt_id}")
        found = answer.body.get(prompt_id) if isinstance(answer.body, dict) else None
        return found if isinstance(found, dict) else None

    async def queued(self) -> tuple[set[str], set[str]]:
        """The ids that run and the ids that wait."""
        answer = await self.http.get("/queue")
        body = answer.body if isinstance(answer.body, dict) else {}
        return _ids(body.get("queue_running")), _ids(body.get("queue_pending"))

    async def knows(self, prompt_id: str) -> bool:
        """Whether the server has taken a prompt, whatever became of it."""
        if await self.entry(prompt_id):
            return True
        return await self._is_there(prompt_id)

    async def _wait(self, prompt_id: str, turn: Turn, wake: asyncio.Event) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            wake.clear()  # before the look: what comes meanwhile is a reason for another one
            try:
                async with asyncio.timeout(self.silence.total_seconds()):
                    if entry := await self.entry(prompt_id):
                        return entry
                    known = await self._is_there(prompt_id, turn)
            except (RuntimeSilentError, TimeoutError):
                if loop.time() - heard >= self.silence.total_seconds():
                    raise RuntimeLostError("the runtime fell silent") from None
                known = True
            else:
                heard = loop.time()
            if not known:
                raise RuntimeLostError("the runtime has forgotten the prompt")
            with suppress(TimeoutError):
                async with asyncio.timeout(self.poll.total_seconds()):
                    await wake.wait()

    async def _is_there(self, prompt_id: str, turn: Turn | None = None) -> bool:
        """Whether the server still has a prompt that has not ended; `turn` hears how far."""
        running, waiting = await self.queued()
        if turn and prompt_id in running:
            turn.begun()
        elif turn and prompt_id in waiting:
            turn.waits()
        # It may have moved from the queue to the history in between.
        return prompt_id in running | waiting or await self.entry(prompt_id) is not None

    async def _listen(
        self, prompt_id: str, client_id: str, report: Report, turn: Turn, wake: asyncio.Event
    ) -> None:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with self.http.session.ws_connect(
                    "/ws", params={"clientId": client_id}, max_msg_size=FRAME_BYTES
                ) as socket:
                    async for frame in socket:
                        if frame.type is aiohttp.WSMsgType.TEXT:
                            _hear(frame.data, prompt_id, report, turn, wake)
            await asyncio.sleep(self.poll.total_seconds())


def _hear(text: str, prompt_id: str, report: Report, turn: Turn, wake: asyncio.Event) -> None:
    try:
        event = json.loads(text)
        content = event["data"]
    except (ValueError, TypeError, KeyError):
        return
    if not isinstance(content, Mapping) or content.get("prompt_id") != prompt_id:
        return
    turn.begun()  # nothing is told of a prompt that waits
    kind = event.get("type")
    if kind == "progress":
        step, total = content.get("value"), content.get("max")
        if isinstance(step, int) and isinstance(total, int) and 0 <= step <= total > 0:
            report(Progress(step=step, total=total))
    # `executing` with no node follows failures and interrupts, too: a reason to look.
    elif kind in _ENDS or (kind == "executing" and content.get("node") is None):
        wake.set()


def _ids(items: object) -> set[str]:
    # An item is [number, prompt_id, prompt, extra_data, outputs].
    return {str(item[1]) for item in items} if isinstance(items, list) else set()
