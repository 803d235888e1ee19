#!/usr/bin/python
"""Digests of container images, as an Ansible module.

A question, which no collection asks ECR.
"""

from __future__ import annotations

import hashlib
import re
from typing import Any

from ansible.module_utils.darkroom_errors import told
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry

DOCUMENTATION = r"""
module: image_digests
short_description: Find the digests of images, and one hash of them all
description:
  - The digest of an image that is named by a tag is asked of ECR. What is in another registry,
    or is not found, counts by its tag, with a warning.
options:
  images:
    description: References, as C(repository:tag) or C(repository@sha256:...).
    type: list
    elements: str
    required: true
  quiet:
    description: Whether a tag that is not found is no reason for a warning.
    type: bool
    default: false
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Tell whether the images are other ones
  image_digests:
    images: ["123456789012.dkr.ecr.us-east-1.amazonaws.com/sdwebui:latest"]
"""

RETURN = r"""
images:
  description: The references, each once, in order.
  type: list
  returned: always
digests:
  description: Digest, or tag, by reference.
  type: dict
  returned: always
hash:
  description: 16 hexadecimal digits that change when an image does.
  type: str
  returned: always
repository_arns:
  description: The repositories in ECR.
  type: list
  returned: always
"""

ECR = re.compile(
    r"^(?P<account>\d{12})\.dkr\.ecr(?:-fips)?\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(?:\.cn)?"
    r"/(?P<repository>[^:@]+)(?::(?P<tag>[^@]+))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)


def main() -> None:
    """Run the module."""
    module = AnsibleAWSModule(
        argument_spec={
            "images": {"type": "list", "elements": "str", "required": True},
            "quiet": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    with told(module):
        images = sorted(set(module.params["images"]))
        digests = {image: digest_of(module, image) for image in images}
        known = "\n".join(f"{image} {digest}" for image, digest in digests.items())
        module.exit_json(
            changed=False,
            images=images,
            digests=digests,
            hash=hashlib.sha256(known.encode()).hexdigest()[:16],
            repository_arns=sorted({arn for image in images for arn in arns(module, image)}),
        )


def digest_of(module: Any, image: str) -> str:
    """What tells this image from another of the same name."""
    if "@" in image:
        return image.partition("@")[2]
    found = ECR.match(image)
    digest = asked(module, found.groupdict()) if found else None
    if digest is None:
        if not module.params["quiet"]:
            module.warn(f"{image} is known by its tag only: another of that tag is not noticed")
        return image.rpartition(":")[2]
    return digest


def asked(module: Any, named: dict[str, str]) -> str | None:
    """The digest that ECR has for a tag, or None."""
    client = module.client(
        "ecr", region=named["region"], retry_decorator=AWSRetry.jittered_backoff()
    )
    try:
        answer = client.describe_images(
            registryId=named["account"],
            repositoryName=named["repository"],
            imageIds=[{"imageTag": named["tag"] or "latest"}],
            aws_retry=True,
        )
    except is_boto3_error_code(["RepositoryNotFoundException", "ImageNotFoundException"]):
        return None
    return next((str(found["imageDigest"]) for found in answer["imageDetails"]), None)


def arns(module: Any, image: str) -> list[str]:
    """The ARN of the repository, if it is in ECR."""
    found = ECR.match(image)
    if not found:
        return []
    partition = "aws-cn" if found["region"].startswith("cn-") else "aws"
    partition = "aws-us-gov" if found["region"].startswith("us-gov-") else partition
    where = f"arn:{partition}:ecr:{found['region']}:{found['account']}"
    return [f"{where}:repository/{found['repository']}"]


if __name__ == "__main__":
    main()
