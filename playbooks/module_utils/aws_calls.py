"""What our modules for AWS share: calls that end the module when AWS refuses, waits, tags."""

from __future__ import annotations

import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ansible.module_utils.common.dict_transformations import camel_dict_to_snake_dict
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

with suppress(ImportError):  # AnsibleAWSModule says so
    from botocore.exceptions import BotoCoreError, ClientError, WaiterError

POLL_SECONDS = 5
# A role made a moment ago is not known everywhere yet.
ROLE_SECONDS = 60
_ROLE = re.compile(r"role|trust|principal", re.IGNORECASE)
_REFUSED = ("InvalidParameterException", "InvalidRequestException")
_MISSING = "ResourceNotFoundException"


class AwsCalls:
    """Calls one service for a module; throttled calls are repeated.

    `missing` is how the service says that something does not exist.
    """

    def __init__(self, module: Any, service: str, *, missing: str = _MISSING) -> None:
        self.module = module
        self._missing = missing
        retry = AWSRetry.jittered_backoff(retries=8, max_delay=30)
        self._client = module.client(service, retry_decorator=retry)

    def call(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """The answer; ends the module when AWS refuses."""
        try:
            return self._call(operation, arguments)
        except (BotoCoreError, ClientError) as error:
            self.module.fail_json_aws(error, msg=f"AWS refused {operation}")
            raise

    def call_with_new_role(self, operation: str, **arguments: Any) -> dict[str, Any]:
        """Do as `call`, with patience while AWS does not know a role in the arguments yet."""
        deadline = time.monotonic() + ROLE_SECONDS
        while True:
            try:
                return self._call(operation, arguments)
            except (BotoCoreError, ClientError) as error:
                if not _role_is_new(error) or time.monotonic() > deadline:
                    self.module.fail_json_aws(error, msg=f"AWS refused {operation}")
                    raise
            time.sleep(POLL_SECONDS)

    def find(self, operation: str, **arguments: Any) -> dict[str, Any] | None:
        """Do as `call`, but give None for what does not exist."""
        try:
            return self._call(operation, arguments)
        except (BotoCoreError, ClientError) as error:
            if _code(error) == self._missing:
                return None
            self.module.fail_json_aws(error, msg=f"AWS refused {operation}")
            raise

    def items(self, operation: str, key: str, **arguments: Any) -> Iterator[Any]:
        """The items of all pages; none if what holds them does not exist."""
        while (answer := self.find(operation, **arguments)) is not None:
            yield from answer[key]
            if not (token := answer.get("nextToken")):
                return
            arguments["nextToken"] = token

    def wait(self, waiter: str, timeout: int, **arguments: Any) -> None:
        """Return when the waiter is content; ends the module after `timeout` seconds."""
        attempts = max(1, timeout // POLL_SECONDS)
        config = {"Delay": POLL_SECONDS, "MaxAttempts": attempts}
        try:
            self._client.get_waiter(waiter).wait(WaiterConfig=config, **arguments)
        except WaiterError as error:
            self.module.fail_json_aws(error, msg=f"gave up waiting for {waiter}")

    def finish(self, update: Mapping[str, Any], timeout: int, **arguments: Any) -> None:
        """Return when an update of EKS is done; ends the module if it fails or lasts."""
        deadline = time.monotonic() + timeout
        while update["status"] == "InProgress":
            if time.monotonic() > deadline:
                self.module.fail_json(msg=f"the update {update['type']} takes too long")
            time.sleep(POLL_SECONDS)
            answer = self.call("describe_update", updateId=update["id"], **arguments)
            update = answer["update"]
        if update["status"] != "Successful":
            reasons = [error.get("errorMessage") for error in update.get("errors", [])]
            self.module.fail_json(msg=f"the update {update['type']} failed", reasons=reasons)

    def tag(self, arn: str, found: Mapping[str, str], wanted: Mapping[str, str] | None) -> None:
        """Let a resource of EKS have exactly these tags; without any, none is touched."""
        if wanted is None:
            return
        if gone := sorted(set(user_tags(found)) - set(wanted)):
            self.call("untag_resource", resourceArn=arn, tagKeys=gone)
        if new := {name: text for name, text in wanted.items() if found.get(name) != text}:
            self.call("tag_resource", resourceArn=arn, tags=new)

    def _call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = getattr(self._client, operation)(aws_retry=True, **arguments)
        answer.pop("ResponseMetadata", None)
        return answer


def user_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags without those that AWS sets itself."""
    return {name: text for name, text in tags.items() if not name.startswith("aws:")}


def settle(
    module: Any,
    *,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any] | None,
    apply: Callable[[], Mapping[str, Any] | None],
    found: Mapping[str, Any] | None,
) -> None:
    """End the module: apply what differs, unless only asked, and say what changed.

    `before` and `after` hold what the caller manages (None: it is not there), `found` all that
    is there; `apply` gives all that is there afterwards.
    """
    changed = before != after
    if changed and not module.check_mode:
        found = apply()
    shown = camel_dict_to_snake_dict(dict(found or {}), ignore_list=["tags"])
    module.exit_json(
        changed=changed, diff={"before": before or {}, "after": after or {}}, **shown
    )


class Resource(ABC):
    """What one module keeps; a subclass says how it is found, compared, made and removed."""

    def __init__(self, module: Any) -> None:
        self.module, self.asked = module, module.params

    def settle(self) -> None:
        """End the module with the resource as asked."""
        found = self.find()
        present = self.asked["state"] == "present"
        if found and present:
            self.refuse(found)
        settle(
            self.module,
            before=self.managed(found) if found else None,
            after=self.wanted(found) if present else None,
            apply=(lambda: self.apply(found)) if present else self.remove,
            found=found,
        )

    @abstractmethod
    def find(self) -> dict[str, Any] | None:
        """The resource as it is."""

    def refuse(self, found: dict[str, Any]) -> None:  # noqa: B027  # most have nothing that lasts
        """End the module if something differs that AWS cannot change."""

    @abstractmethod
    def managed(self, found: dict[str, Any]) -> dict[str, Any]:
        """The part that the module may change."""

    @abstractmethod
    def wanted(self, found: dict[str, Any] | None) -> dict[str, Any]:
        """That part as it shall be."""

    @abstractmethod
    def apply(self, found: dict[str, Any] | None) -> dict[str, Any] | None:
        """Make or change the resource, and give it as it is then."""

    @abstractmethod
    def remove(self) -> None:
        """Remove the resource."""


def _code(error: Any) -> str:
    return str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))


def _role_is_new(error: Any) -> bool:
    return _code(error) in _REFUSED and bool(_ROLE.search(str(error)))
