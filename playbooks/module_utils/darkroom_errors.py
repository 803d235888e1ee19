"""How our modules end when AWS refuses a call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError


@contextmanager
def told(module: Any) -> Iterator[None]:
    """End the module with one sentence when a call to AWS fails."""
    try:
        yield
    except ClientError as error:
        call = f"{error.operation_name} of {module.params.get('name') or 'AWS'} failed"
        module.fail_json_aws(error, msg=call)
    except BotoCoreError as error:
        module.fail_json_aws(error, msg="AWS cannot be reached")
