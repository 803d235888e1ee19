"""Following a task over broken connections; no I/O."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Final

from darkroom_client.calls import Call, task_path
from darkroom_client.errors import DarkroomError, Unavailable, reason_of, refusal
from darkroom_client.exchange import Answer, Backoff, Exchange, Send
from darkroom_client.results import ProgressEvent, StateEvent, Task

Event = StateEvent | ProgressEvent

LASTING_SECONDS: Final = 60  # more than a timeout: it was a stream, though a silent one
NO_CONTENT: Final = 204  # nothing can follow


class Watching:
    """Where the stream of one task's events is, and what to do when it breaks."""

    def __init__(self, exchange: Exchange, name: str, resume_seconds: float) -> None:
        self.ended = False
        self._send = exchange.request(
            Call(Task.model_validate, f"{task_path(name)}/events", headers=_ACCEPT)
        )
        self._endpoint = exchange.endpoint
        self._last_id = ""
        self._resume_seconds = resume_seconds
        self._backoff = Backoff(exchange.retry_seconds)
        self._asked = 0.0
        self._heard = False  # an event, since it was asked for

    def request(self) -> Send:
        """Asks for the events after the last one."""
        self._asked, self._heard = time.monotonic(), False
        if not self._last_id:
            return self._send
        headers = {**self._send.headers, "last-event-id": self._last_id}
        return replace(self._send, headers=headers)

    def take(self, kind: str, text: str, event_id: str) -> Event | None:
        """The event, unless it is of a kind that is not known here."""
        self._heard = True
        self._last_id = event_id or self._last_id
        try:
            if kind == "progress":
                return ProgressEvent.model_validate_json(text)
            if kind != "state":
                return None
            task = Task.model_validate_json(text)
        except ValueError as error:
            raise DarkroomError(
                f"{self._endpoint} is no Darkroom: {reason_of(error)}"
            ) from error
        self.ended = task.ended
        return StateEvent(task=task)

    def refused(self, answer: Answer) -> float:
        """Seconds to pause after there was no stream; raises its error if that is final."""
        if answer.status == NO_CONTENT:
            self.ended = True
            return 0
        return self._backoff.pause(refusal(answer.status, answer.headers, answer.body))

    def broken(self, error: DarkroomError | None = None) -> float:
        """Seconds to pause after the stream broke; raises when it has for too long."""
        if self.ended:
            return 0
        if self._heard or time.monotonic() - self._asked > LASTING_SECONDS:
            self._backoff = Backoff(self._resume_seconds)
        return self._backoff.pause(error or Unavailable(_SHORT))


_ACCEPT: Final = {"accept": "text/event-stream", "cache-control": "no-store"}
_SHORT: Final = "the stream of events ended before the task did"
