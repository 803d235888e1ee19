from __future__ import annotations

from testkit.aws import aws

__all__ = ["aws"]
