"""Whether a failure is the task's, or says that the runtime's device is broken (ADR 9)."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Final

from queue_agent.domain import Job, RuntimeBrokenError, TaskFailedError

RESTART: Final = "the runtime has to be restarted"
UNLIKE_TASKS: Final = 3
"""So many tasks in a row that fail alike, and ask for different things, accuse the runtime."""

# After these a process can do no more on its device, says the CUDA Runtime API of them
# (cudaError_t: "any further CUDA work will return the same error"); HIP has the same texts.
_STICKY: Final = (
    "an illegal memory access was encountered",
    "device-side assert",
    "unspecified launch failure",
    "the launch timed out and was terminated",
    "an illegal instruction was encountered",
    "misaligned address",
    "invalid program counter",
    "hardware stack error",
    "operation not supported on global/shared address space",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    # No device to work on, until somebody looks for it again.
    "no CUDA-capable device is detected",
    "CUDA-capable device(?:s are|\\(s\\) is/are) busy or unavailable",
    "No (?:CUDA|HIP) GPUs are available",
    "(?:CUDA|HIP)(?: driver)? error: (?:unknown error|initialization error)",
    "GPU (?:is|has been) lost|fallen off the bus|DEVICE_LOST|device lost",
    # Of the libraries, what does not lie in what they were asked (INVALID_VALUE, NOT_SUPPORTED,
    # ARCH_MISMATCH, BAD_PARAM) or in too little memory (ALLOC_FAILED).
    "(?:CU|HIP|ROC)BLAS_STATUS_(?:EXECUTION_FAILED|INTERNAL_ERROR|MAPPING_ERROR"
    "|NOT_INITIALIZED)",
    "(?:CUDNN_STATUS|MIOPEN_STATUS|miopenStatus)\\w*(?:EXECUTION_FAILED|INTERNAL_?ERROR"
    "|MAPPING_ERROR|NOT_?INITIALIZED|UNKNOWN_?ERROR)",
    "CU(?:SPARSE|SOLVER|FFT|RAND)(?:_STATUS)?_(?:EXECUTION_FAILED|EXEC_FAILED|INTERNAL_ERROR"
    "|LAUNCH_FAILURE)",
)
_BROKEN: Final = re.compile("|".join(_STICKY), re.IGNORECASE)
_OUT_OF_MEMORY: Final = re.compile("out of memory", re.IGNORECASE)
_CLASS: Final = re.compile(r"([A-Za-z_.]{3,60}): ")
_NODE: Final = re.compile(r"^node [^:]*: ")
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{8,}\b|-?\d+(?:\.\d+)?", re.IGNORECASE)
_RAN: Final = frozenset({"runtime_error", "out_of_memory"})  # codes of what failed in a run


@dataclass(slots=True)
class Evidence:
    """The failures since the last run that went well."""

    _words: str = field(default="", init=False)  # of the last failure
    _asked: set[str] = field(default_factory=set, init=False)  # by those that failed with them
    _acquitted: str = field(default="", init=False)  # the words that a restart did not mend

    def weigh(self, job: Job, error: TaskFailedError) -> None:
        """Return if a failure is the task's own; raises `RuntimeBrokenError` if it is not."""
        message = str(error)
        code = error.failure.code
        if code not in _RAN:
            return
        named = broken_device(message) if code == "runtime_error" else None
        if named:
            raise RuntimeBrokenError(f"{RESTART}: its device is broken ({named})")
        words = _without_numbers(_NODE.sub("", message))
        if words != self._words:
            self._words, self._asked = words, set()
        self._asked.add(_without_numbers(json.dumps([job.tasktype, job.content], default=str)))
        if len(self._asked) >= UNLIKE_TASKS and words != self._acquitted:
            self._acquitted, self._asked = words, set()
            raise RuntimeBrokenError(
                f"{RESTART}: {UNLIKE_TASKS} unlike tasks in a row failed alike{_kind(words)}"
            )

    def clear(self) -> None:
        """Record that a run went well: the runtime is sound."""
        self._words, self._acquitted, self._asked = "", "", set()


def broken_device(message: str) -> str | None:
    """The error among a runtime's words that only its restart can mend; None without one."""
    found = _BROKEN.search(message)
    return found[0] if found and not _OUT_OF_MEMORY.search(message) else None


def _kind(words: str) -> str:
    """The class of the error: the rest may repeat a prompt, and this is told to operators."""
    kind = _CLASS.match(words)
    return f" ({kind[1]})" if kind else ""


def _without_numbers(text: str) -> str:
    return _NUMBER.sub("#", text)
