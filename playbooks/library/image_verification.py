#!/usr/bin/python
"""Images asked for and looked at, as an Ansible module."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.request
import uuid
import zlib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: image_verification
short_description: Send requests, wait for their callbacks and check the images
description:
  - Each request has to be accepted, to end as completed, and to have made images that decode.
options:
  endpoint:
    description: Base URL of the API.
    type: str
    required: true
  api_key:
    description: Key for the API.
    type: str
    required: true
  requests:
    description: Bodies of C(POST /v1alpha2).
    type: list
    elements: dict
    required: true
  queue_url:
    description: Queue with the callbacks, each as it was published.
    type: str
    required: true
  open_seconds:
    description:
      - How long a request is sent again while the gateway refuses a key that it does not
        know yet, or has no targets.
    type: int
    default: 180
  wait_seconds:
    description: How long all of it may take. The first image on a new node takes minutes.
    type: int
    default: 1800
  folder:
    description: Where the images are written; they are not kept without it.
    type: path
  keep_objects:
    description: Whether the images stay in the bucket.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make an image
  image_verification:
    endpoint: "{{ gateway_endpoint }}"
    api_key: "{{ key }}"
    queue_url: "{{ listener.queue_url }}"
    requests:
      - task:
          metadata: {id: first, runtime: sdruntime, tasktype: text-to-image, prefix: verify}
          content: {prompt: A dog, steps: 16, width: 512, height: 512}
  no_log: true
"""

RETURN = r"""
images:
  description: What was made, each with C(id), C(url), C(width), C(height), C(seconds).
  type: list
  returned: when not in check mode
"""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type, as the PNG specification has it


# For some time the gateway refuses a new API key, and a new load balancer has no targets.
NOT_YET = {401, 403, 500, 502, 503, 504}
POLL_SECONDS = 5


class UnexpectedError(Exception):
    """The stack did something else than it should."""


class NotYetError(UnexpectedError):
    """A request was not taken, which may be since everything is new."""


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "endpoint": {"required": True},
            "api_key": {"required": True, "no_log": True},
            "requests": {"type": "list", "elements": "dict", "required": True},
            "queue_url": {"required": True},
            "open_seconds": {"type": "int", "default": 180},
            "wait_seconds": {"type": "int", "default": 1800},
            "folder": {"type": "path"},
            "keep_objects": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    with told(module):
        try:
            images = verify(module)
        except UnexpectedError as error:
            module.fail_json(msg=str(error))
    module.exit_json(changed=True, images=images)


def verify(module: Any) -> list[dict[str, Any]]:
    """Send everything, await everything, check everything; raises `UnexpectedError`."""
    retry = AWSRetry.jittered_backoff()
    sqs, s3 = (module.client(name, retry_decorator=retry) for name in ("sqs", "s3"))
    begun = time.monotonic()
    waiting: dict[str, str] = {}
    callbacks: list[dict[str, Any]] = []
    try:
        for request in module.params["requests"]:
            accepted = submit(module, request, begun + module.params["open_seconds"])
            waiting[accepted["uid"]] = accepted["id_task"]
        callbacks = list(await_all(module, sqs, waiting, begun))
        return [image for callback in callbacks for image in checked(module, s3, callback)]
    finally:
        if not module.params["keep_objects"]:
            for callback in callbacks:
                clean(s3, callback)


def submit(module: Any, request: dict[str, Any], deadline: float) -> dict[str, Any]:
    """Send one request and give the answer; raises `UnexpectedError`.

    It is sent again until the deadline while the gateway does not take it, and makes one task.
    """
    key = str(uuid.uuid4())
    while True:
        try:
            return send(module, request, key)
        except NotYetError:
            if time.monotonic() > deadline:
                raise
        time.sleep(POLL_SECONDS)


def send(module: Any, request: dict[str, Any], key: str) -> dict[str, Any]:
    """Send one request once; raises `UnexpectedError`."""
    url = module.params["endpoint"].rstrip("/") + "/v1alpha2"
    if urlsplit(url).scheme not in {"http", "https"}:
        raise UnexpectedError(f"the endpoint {url} is not an HTTP URL")
    asked = urllib.request.Request(  # noqa: S310  # its scheme is checked
        url,
        data=json.dumps(request).encode(),
        headers={
            "x-api-key": module.params["api_key"],
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        },
    )
    name = request["task"]["metadata"]["id"]
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:  # noqa: S310
            accepted: dict[str, Any] = json.loads(answer.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")[:1000]
        reason = NotYetError if error.code in NOT_YET else UnexpectedError
        raise reason(f"{name} was refused with {error.code}: {text}") from error
    except (OSError, ValueError) as error:
        raise NotYetError(f"{name} could not be sent to {url}: {error}") from error
    return accepted


def await_all(
    module: Any, sqs: Any, waiting: dict[str, str], begun: float
) -> list[dict[str, Any]]:
    """The callbacks of all tasks; raises `UnexpectedError` when one takes too long."""
    left = dict(waiting)
    found = []
    while left:
        if time.monotonic() - begun > module.params["wait_seconds"]:
            names = ", ".join(sorted(left.values()))
            seconds = module.params["wait_seconds"]
            raise UnexpectedError(f"no callback for {names} in {seconds} s")
        for callback in receive(sqs, module.params["queue_url"]):
            if left.pop(callback.get("uid", ""), None):
                found.append({**callback, "seconds": round(time.monotonic() - begun, 1)})
    return found


def receive(sqs: Any, url: str) -> list[dict[str, Any]]:
    """What arrives within 10 seconds."""
    answer = sqs.receive_message(
        QueueUrl=url, WaitTimeSeconds=10, MaxNumberOfMessages=10, aws_retry=True
    )
    messages = answer.get("Messages", [])
    for message in messages:
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], aws_retry=True)
    return [json.loads(message["Body"]) for message in messages]


def checked(module: Any, s3: Any, callback: dict[str, Any]) -> list[dict[str, Any]]:
    """What is known of a task's images; raises `UnexpectedError` if one is not one."""
    name = callback["id"]
    if callback.get("result") is not True:
        raise UnexpectedError(
            f"{name} ended as {callback.get('status')}: {callback.get('error')}"
        )
    if not callback["image_url"]:
        raise UnexpectedError(f"{name} has no images")
    told_images = []
    for url in callback["image_url"]:
        content = s3.get_object(**place(url), aws_retry=True)["Body"].read()
        try:
            width, height = decoded(content)
        except (ValueError, struct.error, zlib.error) as error:
            raise UnexpectedError(f"{url} is not a PNG: {error}") from error
        write(module.params["folder"], url, content)
        told_images.append(
            {
                "id": name,
                "url": url,
                "width": width,
                "height": height,
                "seconds": callback["seconds"],
            }
        )
    return told_images


def place(url: str) -> dict[str, str]:
    """Bucket and key of an `s3://` URL."""
    parts = urlsplit(url)
    return {"Bucket": parts.netloc, "Key": parts.path.lstrip("/")}


def write(folder: str | None, url: str, content: bytes) -> None:
    """Keep an image, if there is a folder for it."""
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / url.rpartition("/")[2]).write_bytes(content)


def clean(s3: Any, callback: dict[str, Any]) -> None:
    """Remove what a task left in the bucket."""
    for url in (*callback.get("image_url", []), callback.get("output_url")):
        if url:
            s3.delete_object(**place(url), aws_retry=True)


def decoded(content: bytes) -> tuple[int, int]:
    """The size of a PNG whose every chunk and pixel is there; raises `ValueError`."""
    if not content.startswith(SIGNATURE):
        raise ValueError("its signature is wrong")
    chunks = list(chunks_of(content))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        raise ValueError("it is cut off")
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    pixels = zlib.decompress(b"".join(body for kind, body in chunks if kind == b"IDAT"))
    row = 1 + (width * depth * CHANNELS[colour] + 7) // 8
    if not interlaced and len(pixels) != row * height:
        raise ValueError(f"it has {len(pixels)} bytes of pixels and not {row * height}")
    return width, height


def chunks_of(content: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and body of each chunk; raises `ValueError` at one that is damaged."""
    found, at = [], len(SIGNATURE)
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        named = content[at + 4 : at + 8 + length]
        (check,) = struct.unpack_from(">I", content, at + 8 + length)
        if zlib.crc32(named) != check:
            raise ValueError(f"chunk {named[:4]!r} is damaged")
        found.append((named[:4], named[4:]))
        at += 12 + length
    return found


if __name__ == "__main__":
    main()
