"""Asks cfn-lint about all templates, or all types, in one process; see `cfn_lint.py`."""

from __future__ import annotations

import json
import sys
from typing import Any

# They come with the tools of deployment, whose Python runs this.
from cfnlint.config import ConfigMixIn  # pants: no-infer-dep
from cfnlint.core import get_rules  # pants: no-infer-dep
from cfnlint.decode.decode import decode_str  # pants: no-infer-dep
from cfnlint.runner import run_template_by_data  # pants: no-infer-dep
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER  # pants: no-infer-dep


def lint(templates: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Rules and sentences about each pair of a template's text and its region."""
    rules = get_rules([], [], [])
    answers = []
    for text, region in templates:
        template, unread = decode_str(text)
        found = unread or run_template_by_data(template, ConfigMixIn(regions=[region]), rules)
        answers.append([(match.rule.id, told(match)) for match in found])
    return answers


def told(match: Any) -> str:
    """Where something is wrong, and what; a text that cannot be read has only a line."""
    path = getattr(match, "path", None) or [f"line {match.linenumber}"]
    return f"{'/'.join(map(str, path))}: {match.message}"


def permissions(types: list[str]) -> dict[str, list[str]]:
    """The actions of the handlers of each type, but of those that list resources."""
    schemas = {
        of: PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", of).schema for of in types
    }
    return {
        of: [
            action
            for name, handler in schema["handlers"].items()
            if name != "list"
            for action in handler["permissions"]
        ]
        for of, schema in schemas.items()
    }


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    json.dump(lint(asked) if sys.argv[1] == "lint" else permissions(asked), sys.stdout)
