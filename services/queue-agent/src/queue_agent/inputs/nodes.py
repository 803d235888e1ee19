"""Which inputs of ComfyUI's nodes are files.

What a server says of its nodes counts; the table stands in for what it does not say, and for a
server that has not been asked. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from queue_agent.inputs.kinds import EXTENSIONS, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """One place for a file: of which kind, and how the runtime wants it there."""

    kind: Kind
    upload: bool = True  # under a name of the runtime's own; else as base64
    folder: str = ""  # where the runtime looks for uploads


Slots = Mapping[str, Slot]  # by the names of inputs

_IMAGE: Final = Slot(kind=Kind.IMAGE)
_AUDIO: Final = Slot(kind=Kind.AUDIO)
_VIDEO: Final = Slot(kind=Kind.VIDEO)
_MODEL: Final = Slot(kind=Kind.MODEL, folder="3d")
_BASE64: Final = Slot(kind=Kind.IMAGE, upload=False)

_CORE: Final = "ComfyUI 0.3.64"
_VHS: Final = "ComfyUI-VideoHelperSuite, videohelpersuite/nodes.py"
_TABLE: Final = (
    # class, input, what goes there, who says so
    ("LoadImage", "image", _IMAGE, f"{_CORE}, nodes.py"),
    ("LoadImageMask", "image", _IMAGE, f"{_CORE}, nodes.py"),
    ("LoadImageOutput", "image", _IMAGE, f"{_CORE}, nodes.py"),
    ("LoadAudio", "audio", _AUDIO, f"{_CORE}, comfy_extras/nodes_audio.py"),
    ("LoadVideo", "file", _VIDEO, f"{_CORE}, comfy_extras/nodes_video.py"),
    ("Load3D", "model_file", _MODEL, f"{_CORE}, comfy_extras/nodes_load_3d.py"),
    ("Load3DAnimation", "model_file", _MODEL, f"{_CORE}, comfy_extras/nodes_load_3d.py"),
    ("VHS_LoadVideo", "video", _VIDEO, f"{_VHS}: LoadVideoUpload"),
    ("VHS_LoadVideoFFmpeg", "video", _VIDEO, f"{_VHS}: LoadVideoFFmpegUpload"),
    ("VHS_LoadAudioUpload", "audio", _AUDIO, f"{_VHS}: LoadAudioUpload"),
    ("LoadImageBase64", "image", _BASE64, "comfyui-tooling-nodes before its prefix"),
    ("ETN_LoadImageBase64", "image", _BASE64, "comfyui-tooling-nodes, nodes.py"),
    ("ETN_LoadMaskBase64", "mask", _BASE64, "comfyui-tooling-nodes, nodes.py"),
    ("LoadImageFromBase64", "data", _BASE64, "glowcone/comfyui-base64-to-image"),
    ("easy loadImageBase64", "base64_data", _BASE64, "ComfyUI-Easy-Use, py/nodes/image.py"),
)
TABLE: Final[Mapping[str, Slots]] = {
    node: {name: slot for other, name, slot, _ in _TABLE if other == node}
    for node in dict.fromkeys(row[0] for row in _TABLE)
}

_FLAGS: Final = {
    "image_upload": Kind.IMAGE,
    "animated_image_upload": Kind.IMAGE,
    "audio_upload": Kind.AUDIO,
    "video_upload": Kind.VIDEO,
    "file_upload": Kind.ANY,
}


def read_definitions(answer: Mapping[str, Any]) -> dict[str, Slots]:
    """The files of all nodes by class, as an answer of `/object_info` has them."""
    return {
        name: _slots(name, dict(_inputs(node)))
        for name, node in answer.items()
        if isinstance(node, Mapping)
    }


def _slots(node: str, inputs: Mapping[str, object]) -> Slots:
    # A table's row is of another node of the same name if this one has no such input.
    known = {name: slot for name, slot in TABLE.get(node, {}).items() if name in inputs}
    said = {name: slot for name, spec in inputs.items() if (slot := _slot(spec))}
    return said | known


def _inputs(node: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    sections = node.get("input")
    for section in sections.values() if isinstance(sections, Mapping) else ():
        if isinstance(section, Mapping):
            yield from section.items()


def _slot(spec: object) -> Slot | None:
    """What an input's definition says: that it is uploaded, or a choice among files."""
    if not isinstance(spec, list) or not spec:
        return None
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    kinds = {kind for flag, kind in _FLAGS.items() if options.get(flag)}
    if not kinds:
        choices = spec[0] if isinstance(spec[0], list) else options.get("options")
        kinds = _kinds_of(choices if isinstance(choices, list) else [])
    if not kinds:
        return None
    return Slot(kind=kinds.pop() if len(kinds) == 1 else Kind.ANY)


def _kinds_of(choices: list[Any]) -> set[Kind]:
    """The kinds of files if all choices are names of such."""
    names = {str(one).lower() for one in choices} - {"", "none"}
    kinds = {EXTENSIONS.get(name.rpartition(".")[2]) for name in names}
    return {kind for kind in kinds if kind} if None not in kinds else set()
