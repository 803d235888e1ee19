"""Whether a prompt can run, and what is wrong with it in ComfyUI's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Any

from sample_runtime.comfyui.library import NODES
from sample_runtime.comfyui.nodes import Input, Node, Place

Prompt = Mapping[str, Any]
Complaint = dict[str, Any]
LINK_LENGTH = 2
_CONVERSIONS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}


@dataclass
class Validation:
    """The outputs that can run, why nothing can (`error`), and complaints by node."""

    outputs: list[str] = field(default_factory=list)
    error: Complaint | None = None
    node_errors: dict[str, Any] = field(default_factory=dict)


def complaint(kind: str, message: str, details: str = "", **extra: Any) -> Complaint:
    """An error as ComfyUI words it."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def is_link(value: Any) -> bool:
    """Whether an input's value names another node's output."""
    return isinstance(value, list)


def parents(prompt: Prompt, node_id: str) -> dict[str, tuple[str, int]]:
    """The node and the output that each linked input takes its value from."""
    entry = prompt[node_id]
    inputs = {name: entry.get("inputs", {}).get(name) for name in _class_of(entry).inputs}
    return {
        name: (value[0], value[1])
        for name, value in inputs.items()
        if is_link(value) and len(value) == LINK_LENGTH and _names_a_node(prompt, value)
    }


def _class_of(entry: Mapping[str, Any]) -> Node:
    return NODES[entry["class_type"]]


def _names_a_node(prompt: Prompt, link: list[Any]) -> bool:
    return isinstance(link[0], str) and link[0] in prompt


def judge(prompt: Prompt, place: Place) -> Validation:
    """Check every output node with what it needs; outputs stand or fall each by itself."""
    outputs = []
    for node_id, entry in prompt.items():
        error = _check_class(node_id, entry)
        if error is not None:
            return Validation(error=error)
        if NODES[entry["class_type"]].is_output:
            outputs.append(node_id)
    if not outputs:
        return Validation(error=complaint("prompt_no_outputs", "Prompt has no outputs"))
    if _has_cycle(prompt):
        return Validation(error=_failed_validation("Dependency cycle detected"))
    return _judge_outputs(prompt, outputs, _Checker(prompt, place))


def _has_cycle(prompt: Prompt) -> bool:
    links = {node: [one for one, _ in parents(prompt, node).values()] for node in prompt}
    try:
        TopologicalSorter(links).prepare()
    except CycleError:
        return True
    return False


def _failed_validation(details: str) -> Complaint:
    message = "Prompt outputs failed validation"
    return complaint("prompt_outputs_failed_validation", message, details)


def _check_class(node_id: str, entry: Any) -> Complaint | None:
    details = f"Node ID '#{node_id}'"
    if not isinstance(entry, dict) or "class_type" not in entry:
        message = "Cannot execute because a node is missing the class_type property."
        return complaint("invalid_prompt", message, details)
    if entry["class_type"] not in NODES:
        message = f"Cannot execute because node {entry['class_type']} does not exist."
        return complaint("invalid_prompt", message, details)
    return None


def _judge_outputs(prompt: Prompt, outputs: list[str], checker: _Checker) -> Validation:
    validation = Validation()
    for output in outputs:
        bad = {node: found for node, found in checker.needed_by(output).items() if found}
        if not bad:
            validation.outputs.append(output)
        for node_id, found in bad.items():
            entry = {
                "errors": found,
                "dependent_outputs": [],
                "class_type": prompt[node_id]["class_type"],
            }
            known = validation.node_errors.setdefault(node_id, entry)
            known["dependent_outputs"].append(output)
    if not validation.outputs:
        all_errors = [
            one for entry in validation.node_errors.values() for one in entry["errors"]
        ]
        lines = [f"{one['message']}: {one['details']}" for one in all_errors]
        validation.error = _failed_validation("\n".join(lines))
    return validation


class _Checker:
    """Finds the complaints of single nodes, each node once."""

    def __init__(self, prompt: Prompt, place: Place) -> None:
        self._prompt = prompt
        self._place = place
        self._found: dict[str, list[Complaint]] = {}

    def needed_by(self, node_id: str) -> dict[str, list[Complaint]]:
        """The complaints of a node and of all it needs."""
        needed: dict[str, list[Complaint]] = {}
        waiting = [node_id]
        while waiting:
            current = waiting.pop()
            if current not in needed:
                needed[current] = self._check_once(current)
                waiting += [one for one, _ in parents(self._prompt, current).values()]
        return needed

    def _values(self, node_id: str) -> dict[str, Any]:
        values: dict[str, Any] = self._prompt[node_id].get("inputs", {})
        return values

    def _check_once(self, node_id: str) -> list[Complaint]:
        if node_id not in self._found:
            node = _class_of(self._prompt[node_id])
            self._found[node_id] = self._check(node, self._values(node_id))
        return self._found[node_id]

    def _check(self, node: Node, values: dict[str, Any]) -> list[Complaint]:
        found = []
        error: Complaint | None
        for name, wanted in node.inputs.items():
            if name not in values:
                message = "Required input is missing"
                error = complaint("required_input_missing", message, name, input_name=name)
            elif is_link(values[name]):
                error = self._check_link(name, wanted, values[name])
            else:
                error = self._check_value(node, name, wanted, values)
            if error is not None:
                found.append(error)
        return found

    def _check_link(self, name: str, wanted: Input, link: list[Any]) -> Complaint | None:
        extra = {"input_name": name, "input_config": wanted.describe(self._place)}
        if len(link) != LINK_LENGTH or not isinstance(link[1], int):
            message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
            return complaint("bad_linked_input", message, name, received_value=link, **extra)
        if not _names_a_node(self._prompt, link):
            message = "Exception when validating inner node"
            kind = "exception_during_inner_validation"
            return complaint(kind, message, repr(link[0]), linked_node=link, **extra)
        given = _class_of(self._prompt[link[0]]).outputs
        received = given[link[1]] if 0 <= link[1] < len(given) else "nothing"
        if wanted.kind in ("*", received):
            return None
        return complaint(
            "return_type_mismatch",
            "Return type mismatch between linked nodes",
            f"{name}, received_type({received}) mismatch input_type({wanted.kind})",
            received_type=received,
            linked_node=link,
            **extra,
        )

    def _check_value(
        self, node: Node, name: str, wanted: Input, values: dict[str, Any]
    ) -> Complaint | None:
        config, value = wanted.describe(self._place), values[name]
        extra = {"input_name": name, "input_config": config, "received_value": value}
        if name in node.custom:
            problem = node.check(self._place, values)
            message = "Custom validation failed for node"
            details = f"{name} - {problem}"
            kind = "custom_validation_failed"
            return complaint(kind, message, details, **extra) if problem else None
        if isinstance(config[0], list):
            if value in config[0]:
                return None
            details = f"{name}: {value!r} not in {config[0]}"
            return complaint("value_not_in_list", "Value not in list", details, **extra)
        return self._check_plain(name, wanted, values, extra)

    @staticmethod
    def _check_plain(
        name: str, wanted: Input, values: dict[str, Any], extra: dict[str, Any]
    ) -> Complaint | None:
        try:
            values[name] = value = _CONVERSIONS.get(str(wanted.kind), lambda same: same)(
                values[name]
            )
        except (TypeError, ValueError) as error:
            message = f"Failed to convert an input value to a {wanted.kind} value"
            details = f"{name}, {values[name]}, {error}"
            return complaint("invalid_input_type", message, details, **extra)
        least, most = wanted.options.get("min"), wanted.options.get("max")
        if least is not None and value < least:
            message = f"Value {value} smaller than min of {least}"
            return complaint("value_smaller_than_min", message, name, **extra)
        if most is not None and value > most:
            message = f"Value {value} bigger than max of {most}"
            return complaint("value_bigger_than_max", message, name, **extra)
        return None
