"""The filters of the playbooks, as modules of the test."""

from __future__ import annotations

import importlib.util
from types import ModuleType

from toolbox import ROOT


def filter_plugin(name: str) -> ModuleType:
    """A file of `playbooks/filter_plugins` that needs nothing of Ansible."""
    path = ROOT / "playbooks" / "filter_plugins" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{name}_filters", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
