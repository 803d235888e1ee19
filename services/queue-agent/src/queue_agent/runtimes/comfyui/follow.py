"""Following one prompt of ComfyUI to its end, over the websocket and without it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import aiohttp
from pydantic_core import from_json

from queue_agent.domain import RuntimeLostError, RuntimeSilentError
from queue_agent.ports import Report, Started
from queue_agent.runtimes.comfyui.progress import GraphProgress
from queue_agent.runtimes.comfyui.sent_images import SentImages
from queue_agent.runtimes.http import RuntimeHttp
from queue_agent.runtimes.shape import items, mapping
from queue_agent.runtimes.turn import Turn

FRAME_BYTES: Final = 64 * 2**20  # previews of large images come as one frame
END_POLL: Final = timedelta(milliseconds=15)
END_WITHIN: Final = timedelta(seconds=2)
MISSED_WITHIN: Final = timedelta(seconds=0.1)  # of ends told while no websocket was open
LISTEN_WITHIN: Final = timedelta(seconds=1)
_ENDS: Final = frozenset({"execution_success", "execution_error", "execution_interrupted"})


class Signs:
    """What the websocket tells of one prompt."""

    def __init__(self, progress: GraphProgress, started: Started, sent: SentImages) -> None:
        self.progress = progress
        self.turn = Turn(started)
        self.sent = sent
        self.submitted = False
        self.wake = asyncio.Event()  # there may be an end to see
        self.hurry_until = 0.0
        self.tried = asyncio.Event()  # to open a websocket

    async def open(self) -> None:
        """Return when what happens to a prompt will be told, as far as this server tells it.

        Otherwise its end might be missed, and the history would have to be looked into often:
        each look takes from the time in which Python can work on the prompt itself.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(LISTEN_WITHIN.total_seconds()):
                await self.tried.wait()

    def connect(self) -> None:
        """Record that a websocket is open."""
        self.sent.connect()
        self.tried.set()
        if self.submitted:
            self.look(within=MISSED_WITHIN)

    def look(self, within: timedelta) -> None:
        """Have the history looked into often: it has an end a little after it was told."""
        self.hurry_until = asyncio.get_running_loop().time() + within.total_seconds()
        self.wake.set()

    @property
    def hurries(self) -> bool:
        """Whether an end was told just now."""
        return asyncio.get_running_loop().time() < self.hurry_until

    def pause(self, usual: timedelta) -> float:
        """How many seconds the history is left alone if nothing is heard."""
        return min(usual, END_POLL if self.hurries else usual).total_seconds()


@dataclass(frozen=True, slots=True, kw_only=True)
class Follower:
    """Waits for the end of prompts that a server has taken."""

    http: RuntimeHttp
    poll: timedelta
    silence: timedelta

    async def ended(self, prompt_id: str, signs: Signs) -> dict[str, Any]:
        """The history entry of a prompt, when it has ended.

        The websocket tells progress and wakes us early; only the history tells the end. Raises
        `RuntimeLostError` when the server is gone, silent for too long or does not know the
        prompt any more. `started` is called before that, too, unless the prompt was last seen
        to wait for others.
        """
        with signs.turn.judged_if_lost():
            entry = await self._wait(prompt_id, signs)
        signs.turn.begun()
        return entry

    async def listen(self, prompt_id: str, report: Report, signs: Signs) -> None:
        """Hear what the websocket tells of a prompt, until cancelled."""
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with self.http.session.ws_connect(
                    "/ws", params={"clientId": prompt_id}, max_msg_size=FRAME_BYTES
                ) as socket:
                    signs.connect()
                    async for frame in socket:
                        if frame.type is aiohttp.WSMsgType.TEXT:
                            _hear(frame.data, prompt_id, report, signs)
                        elif frame.type is aiohttp.WSMsgType.BINARY:
                            await signs.sent.take(frame.data)
            signs.tried.set()
            await asyncio.sleep(self.poll.total_seconds())

    async def entry(self, prompt_id: str) -> dict[str, Any] | None:
        """The history entry of a prompt; None if it has not ended."""
        answer = await self.http.get(f"/history/{prompt_id}")
        found = mapping(answer.body).get(prompt_id)
        return found if isinstance(found, dict) else None

    async def queued(self) -> tuple[set[str], set[str]]:
        """The ids that run and the ids that wait."""
        answer = await self.http.get("/queue")
        body = mapping(answer.body)
        return _ids(body.get("queue_running")), _ids(body.get("queue_pending"))

    async def _wait(self, prompt_id: str, signs: Signs) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        heard = loop.time()
        while True:
            signs.wake.clear()  # before the look: what is told meanwhile is worth another one
            try:
                async with asyncio.timeout(self.silence.total_seconds()):
                    if entry := await self.entry(prompt_id):
                        return entry
                    known = signs.hurries or await self.knows(prompt_id, signs.turn)
            except (RuntimeSilentError, TimeoutError):
                if loop.time() - heard >= self.silence.total_seconds():
                    raise RuntimeLostError("the runtime fell silent") from None
                known = True
            else:
                heard = loop.time()
            if not known:
                raise RuntimeLostError("the runtime has forgotten the prompt")
            with suppress(TimeoutError):
                async with asyncio.timeout(signs.pause(self.poll)):
                    await signs.wake.wait()

    async def knows(self, prompt_id: str, turn: Turn | None = None) -> bool:
        """Whether the server has taken a prompt, ended or not; `turn` hears how far it is."""
        running, waiting = await self.queued()
        if turn and prompt_id in running:
            turn.begun()
        elif turn and prompt_id in waiting:
            turn.waits()
        # It may have moved from the queue to the history in between.
        return prompt_id in running | waiting or await self.entry(prompt_id) is not None


def _hear(text: str, prompt_id: str, report: Report, signs: Signs) -> None:
    try:
        event = mapping(from_json(text))
    except ValueError:
        return
    kind, content = event.get("type"), mapping(event.get("data"))
    if not isinstance(kind, str) or content.get("prompt_id") != prompt_id:
        return
    signs.turn.begun()  # nothing is told of a prompt that waits
    if news := signs.progress.hear(kind, content):
        report(news)
    # `executing` with no node follows failures and interrupts, too: a reason to look.
    is_end = kind in _ENDS or (kind == "executing" and content.get("node") is None)
    signs.sent.hear(content, is_end=is_end)
    if is_end:
        signs.look(within=END_WITHIN)


def _ids(shown: object) -> set[str]:
    # An item is [number, prompt_id, prompt, extra_data, outputs].
    return {str(item[1]) for item in items(shown) if len(items(item)) > 1}
