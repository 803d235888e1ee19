"""Lints templates of CloudFormation with cfn-lint, all by one process; see `cfn_lint.py`.

Reads pairs of a template's text and its region as JSON, and answers with what each has wrong.
"""

from __future__ import annotations

import json
import sys
from typing import Any

# They come with the tools of deployment, whose Python runs this.
from cfnlint.config import ConfigMixIn  # pants: no-infer-dep
from cfnlint.core import get_rules  # pants: no-infer-dep
from cfnlint.decode.decode import decode_str  # pants: no-infer-dep
from cfnlint.runner import run_template_by_data  # pants: no-infer-dep


def main() -> None:
    """Answer with a list of rules and sentences for each template, errors and warnings."""
    rules = get_rules([], [], [])
    answers = []
    for text, region in json.load(sys.stdin):
        template, unread = decode_str(text)
        found = unread or run_template_by_data(template, ConfigMixIn(regions=[region]), rules)
        answers.append([(match.rule.id, told(match)) for match in found])
    json.dump(answers, sys.stdout)


def told(match: Any) -> str:
    """Where something is wrong, and what; a text that cannot be read has only a line."""
    path = getattr(match, "path", None) or [f"line {match.linenumber}"]
    return f"{'/'.join(map(str, path))}: {match.message}"


if __name__ == "__main__":
    main()
