#!/usr/bin/python
"""A model file in the model bucket, as an Ansible module."""

from __future__ import annotations

import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from ansible.module_utils.darkroom_errors import told
from ansible.module_utils.modelfiles.formats import check_gguf
from ansible.module_utils.modelfiles.safetensors import Head, MalformedError
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: s3_model
short_description: Bring a model file into the model bucket from a URL or a file
description:
  - The file is streamed in parts, so that a model of any size needs little memory and no disk.
  - A C(.safetensors) file is checked as it passes. One that is cut off, or is something else,
    is not stored.
  - A file of the same source and size that is there already is left as it is.
options:
  bucket:
    description: The model bucket.
    type: str
    required: true
  folder:
    description: Folder of the bucket, such as C(Stable-diffusion), C(Lora) or C(VAE).
    type: str
    required: true
  source:
    description: An C(https) or C(http) URL, or the path of a file.
    type: str
    required: true
  filename:
    description: Name in the bucket; the last part of O(source) if not given.
    type: str
  headers:
    description: Headers for the URL, such as one with a token.
    type: dict
    default: {}
  force:
    description: Whether to store the file again.
    type: bool
    default: false
  part_bytes:
    description: Size of a part. AWS takes 5 MiB or more, and 10,000 parts.
    type: int
    default: 16777216
  timeout_seconds:
    description: How long a server may be silent.
    type: int
    default: 60
  progress_file:
    description: A file that has the progress as JSON while the module runs.
    type: path
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Bring in SD 1.5
  s3_model:
    bucket: model-bucket
    folder: Stable-diffusion
    source: https://models.example/v1-5-pruned-emaonly.safetensors
"""

RETURN = r"""
url:
  description: Where the model is, as C(s3://bucket/key).
  type: str
  returned: always
size_bytes:
  description: Size of the file.
  type: int
  returned: when it is known
"""

WEIGHTS = ".safetensors"
GGUF = ".gguf"
SOURCE = "darkroom-source"  # metadata of the object: where the file came from


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "bucket": {"required": True},
            "folder": {"required": True},
            "source": {"required": True},
            "filename": {},
            "headers": {"type": "dict", "default": {}, "no_log": True},
            "force": {"type": "bool", "default": False},
            "part_bytes": {"type": "int", "default": 16 * 2**20},
            "timeout_seconds": {"type": "int", "default": 60},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    given = module.params
    key = key_of(module)
    with told(module):
        client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
        found = None if given["force"] else head_of(client, given["bucket"], key)
        try:
            bring(module, client, key, found)
        except (MalformedError, OSError, urllib.error.URLError) as error:
            module.fail_json(msg=f"{origin(given['source'])}: {reason(error)}")


def key_of(module: Any) -> str:
    """The key of the file; ends the module when a name is not one name."""
    given = module.params
    last = urlsplit(given["source"]).path.rpartition("/")[2]
    name = given["filename"] or last
    for what, value in (("folder", given["folder"]), ("filename", name)):
        if not value or "/" in value or value.startswith("."):
            module.fail_json(msg=f"{what} {value!r} must be one name without /")
    return f"{given['folder']}/{name}"


def origin(source: str) -> str:
    """The source without login and query, which may have a secret."""
    parts = urlsplit(source)
    if parts.scheme not in {"http", "https"}:
        return source
    return parts._replace(
        netloc=parts.netloc.rpartition("@")[2], query="", fragment=""
    ).geturl()


def reason(error: Exception) -> str:
    """What went wrong, without the URL."""
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    return str(getattr(error, "reason", None) or getattr(error, "strerror", None) or error)


def head_of(client: Any, bucket: str, key: str) -> dict[str, Any] | None:
    """What is known of the object, or None."""
    try:
        found: dict[str, Any] = client.head_object(Bucket=bucket, Key=key, aws_retry=True)
    except is_boto3_error_code(["404", "NoSuchKey"]):
        return None
    return found


def bring(module: Any, client: Any, key: str, found: dict[str, Any] | None) -> None:
    """Store the file unless it is there, and end."""
    given = module.params
    url = f"s3://{given['bucket']}/{key}"
    with opened(given["source"], given["headers"], given["timeout_seconds"]) as (stream, size):
        if found and same(found, given["source"], size):
            module.exit_json(changed=False, url=url, size_bytes=found["ContentLength"])
        taken = size
        if not module.check_mode:
            taken = store(module, client, key, stream, size)
    answer = {} if taken is None else {"size_bytes": taken}
    diff = {"before": "", "after": f"{url}\n"}
    module.exit_json(changed=True, url=url, diff=diff, **answer)


def same(found: dict[str, Any], source: str, size: int | None) -> bool:
    """Whether the object came from this source and has its size, as far as one knows."""
    if size is None:
        return str(found["Metadata"].get(SOURCE)) == origin(source)
    return int(found["ContentLength"]) == size


@contextlib.contextmanager
def opened(
    source: str, headers: dict[str, str], timeout: int
) -> Iterator[tuple[BinaryIO, int | None]]:
    """Open a URL or a file, and give its size if it is known; raises `OSError`."""
    if urlsplit(source).scheme not in {"http", "https"}:
        with Path(source).open("rb") as file:
            yield file, Path(source).stat().st_size
        return
    request = urllib.request.Request(source, headers=headers)  # noqa: S310  # checked above
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        size = answer.headers.get("Content-Length")
        yield answer, None if size is None else int(size)


def store(module: Any, client: Any, key: str, stream: BinaryIO, size: int | None) -> int:
    """Upload part by part and give the size; on any error nothing is left."""
    given = module.params
    place = {"Bucket": given["bucket"], "Key": key}
    upload = client.create_multipart_upload(
        **place,
        ContentType="application/octet-stream",
        Metadata={SOURCE: origin(given["source"])},
        aws_retry=True,
    )
    place["UploadId"] = upload["UploadId"]
    try:
        taken, parts = send(client, place, pieces(module, stream, size, key))
        client.complete_multipart_upload(
            **place, MultipartUpload={"Parts": parts}, aws_retry=True
        )
    except BaseException:
        client.abort_multipart_upload(**place, aws_retry=True)
        raise
    return taken


def send(
    client: Any, place: dict[str, Any], blocks: Iterator[bytes]
) -> tuple[int, list[dict[str, Any]]]:
    """Upload blocks, one in memory at a time, and give their size and their tags."""
    taken, parts = 0, []
    for number, block in enumerate(blocks, start=1):
        tag = client.upload_part(**place, PartNumber=number, Body=block, aws_retry=True)["ETag"]
        parts.append({"PartNumber": number, "ETag": tag})
        taken += len(block)
    return taken, parts


def pieces(module: Any, stream: BinaryIO, size: int | None, key: str) -> Iterator[bytes]:
    """The parts of a stream, checked as they pass; raises `MalformedError`."""
    head = Head() if key.endswith(WEIGHTS) else None
    tell = progress(module.params["progress_file"], key, size)
    taken = 0
    while block := read_fully(stream, module.params["part_bytes"]):
        if head:
            head.take(block, size)
        elif key.endswith(GGUF) and not taken:
            check_gguf(block)
        yield block
        taken += len(block)
        tell(taken)
    if size is not None and taken != size:
        raise MalformedError(f"{size} bytes were promised and {taken} came")
    if head:
        head.check_end(taken)
    elif not taken:
        raise MalformedError("it is empty")


def read_fully(stream: BinaryIO, size: int) -> bytes:
    """`size` bytes, or what is left; a socket gives less at a time."""
    block = bytearray()
    while len(block) < size and (more := stream.read(size - len(block))):
        block += more
    return bytes(block)


def progress(file: str | None, key: str, size: int | None) -> Callable[[int], None]:
    """What writes the progress."""
    begun = time.monotonic()

    def tell(taken: int) -> None:
        if file:
            seconds = round(time.monotonic() - begun, 1)
            told_now = {"key": key, "bytes": taken, "of": size, "seconds": seconds}
            Path(file).write_text(json.dumps(told_now) + "\n")

    return tell


if __name__ == "__main__":
    main()
