"""Filters for the configuration file: its findings, and the fact `deployment` made of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "libs" / "deployment" / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "libs" / "modelfiles" / "src"))

if TYPE_CHECKING:
    from deployment.check import Checked

Images = Mapping[str, Mapping[str, str]]
"""Images that were built: `repository`, `tag` and `digest` by the type of their runtime."""

DOCUMENTATION = """
name: deployment
short_description: Check and read the configuration file
"""


def deployment_findings(
    config: str | Mapping[str, object],
    region: str | None = None,
    images: Images | None = None,
) -> list[dict[str, Any]]:
    """What is wrong with the text of a file, or with the mapping read from it.

    Each finding has `level` (`error` or `warning`), `key` (`modelsRuntime[1].name`), `found`,
    `allowed`, `line` (null for a mapping) and `text`, one sentence with all of them. Errors
    come first; a file without errors may be deployed.
    """
    return [finding.as_dict() for finding in _checked(config, region, images or {}).findings]


def deployment_normalised(
    config: str | Mapping[str, object],
    region: str | None = None,
    images: Images | None = None,
) -> dict[str, Any]:
    """The fact `deployment` of the text of a file, or of the mapping read from it.

    Its keys are `stack`, `stack_name` (as it is written), `model_bucket`, `model_bucket_arn`,
    `stage_name`, `rate_limit`, `burst_limit`, `node_prices` (`currency`, and `types`: an hour
    by instance type, `on-demand` and `spot`) and `runtimes`, a list of `name`, `namespace`,
    `type`, `model_filename`, `dynamic_model`, `chart_repository` (empty: our chart),
    `chart_version` and `values` (for the chart). Fails with the errors of
    `deployment_findings`, if any.
    """
    from deployment.normalise import normalised

    try:
        return normalised(_checked(config, region, images or {}))
    except ValueError as error:
        raise AnsibleFilterError(f"the configuration cannot be deployed: {error}") from error


def _checked(config: str | Mapping[str, object], region: str | None, images: Images) -> Checked:
    # Ansible loads the filters for each of some 200 tasks, and most of them need none of this.
    from deployment.check import check

    return check(config, region, images)


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {
            "deployment_findings": deployment_findings,
            "deployment_normalised": deployment_normalised,
        }
