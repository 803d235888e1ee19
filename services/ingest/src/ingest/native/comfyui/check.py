"""What ComfyUI would refuse of a prompt, by the definitions of its nodes. Pure.

The words are those of `validate_prompt` of ComfyUI 0.3.64.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def check(
    prompt: Mapping[str, Any], nodes: Mapping[str, Any]
) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The body of the refusal, None if there is none, and `node_errors`.

    `nodes` is `object_info`, empty if it is not known. As with the server, only nodes count
    from which an output is made, and one good output is enough. Values are left to the server.
    """
    for name, node in prompt.items():
        if told := _unknown(node, nodes):
            return _refused("invalid_prompt", told, f"Node ID '#{name}'"), {}
    if not nodes:
        return None, {}
    outputs = [
        name
        for name, node in prompt.items()
        if _of(nodes, node["class_type"]).get("output_node")
    ]
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs", ""), {}
    needs = {output: _needed(prompt, output) for output in outputs}
    missing = {
        name: found
        for name in dict.fromkeys(each for needed in needs.values() for each in needed)
        if (found := _missing(prompt[name], nodes))
    }
    told_nodes = {
        name: {
            "errors": errors,
            "dependent_outputs": [output for output in outputs if name in needs[output]],
            "class_type": prompt[name]["class_type"],
        }
        for name, errors in missing.items()
    }
    if all(needed & missing.keys() for needed in needs.values()):
        kind = "prompt_outputs_failed_validation"
        refused = _refused(kind, "Prompt outputs failed validation", "")
        return {**refused, "node_errors": told_nodes}, told_nodes
    return None, told_nodes


def no_prompt() -> dict[str, Any]:
    """The refusal of a body without a prompt."""
    return _refused("no_prompt", "No prompt provided", "No prompt provided")


def _unknown(node: Any, nodes: Mapping[str, Any]) -> str:
    kind = node.get("class_type") if isinstance(node, Mapping) else None
    if not isinstance(kind, str):
        return "Cannot execute because a node is missing the class_type property."
    if nodes and kind not in nodes:
        return f"Cannot execute because node {kind} does not exist."
    return ""


def _needed(prompt: Mapping[str, Any], output: str) -> set[str]:
    """An output, and the nodes that it is made from."""
    found, left = set(), [output]
    while left:
        name = left.pop()
        if name in prompt and name not in found:
            found.add(name)
            values = _of(prompt[name], "inputs").values()
            left += [str(one[0]) for one in values if isinstance(one, list) and one]
    return found


def _missing(node: Mapping[str, Any], nodes: Mapping[str, Any]) -> list[dict[str, Any]]:
    given = _of(node, "inputs")
    required = _of(_of(_of(nodes, node["class_type"]), "input"), "required")
    return [
        {
            "type": "required_input_missing",
            "message": "Required input is missing",
            "details": name,
            "extra_info": {"input_name": name},
        }
        for name in required
        if name not in given
    ]


def _of(mapping: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = mapping.get(name)
    return found if isinstance(found, Mapping) else {}


def _refused(kind: str, message: str, details: str) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return {"error": error, "node_errors": {}}
