"""The images of runtimes that `playbooks/images.yml` has built, for runtimes that name none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deployment.original import runtimes

Image = Mapping[str, str]
"""`repository`, `tag` and `digest`."""

# Of runtimes/*/Dockerfile, which write into /tmp and the folders of the chart only.
SECURITY_CONTEXT = {"runAsUser": 1000, "runAsGroup": 1000, "readOnlyRootFilesystem": True}


def take(values: Mapping[str, Any], images: Mapping[str, Image]) -> None:
    """Give each runtime without an image the one that was built of its type.

    What is in `values` may be wrong in any way; what is, is left as it is.
    """
    for _, runtime in runtimes(dict(values)):
        built = images.get(str(runtime.get("type")))
        server = _inner(runtime, "extraValues", "runtime", "inferenceApi") if built else None
        if server is None or not isinstance(server.setdefault("image", {}), dict):
            continue
        if not server["image"].get("repository"):
            server["image"] = dict(built or {})
            server.setdefault("securityContext", dict(SECURITY_CONTEXT))


def _inner(values: dict[str, Any], *names: str) -> dict[str, Any] | None:
    """The mapping within mappings, made if there is none; None if something else is there."""
    for name in names:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            return None
        values = inner
    return values
