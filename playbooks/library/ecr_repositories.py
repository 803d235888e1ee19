#!/usr/bin/python
"""A set of ECR repositories with the same settings.

Images outlive a deployment, so the repositories are in no stack. The collection's ecs_ecr has
no tags, and is one run for each.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ecr_repositories
short_description: Make ECR repositories, with tags, scanning and a lifecycle policy
description:
  - Makes repositories, or sets what differs. Images stay.
author: [Darkroom]
options:
  names:
    description: Names of the repositories.
    type: list
    elements: str
    required: true
  state:
    description: Whether the repositories are to be there; C(absent) removes their images too.
    type: str
    choices: [present, absent]
    default: present
  immutable_tags:
    description: Whether a tag keeps its image.
    type: bool
    default: true
  scan_on_push:
    description: Whether an image is scanned when it comes in.
    type: bool
    default: true
  lifecycle_policy:
    description: Which images are removed in time.
    type: json
  tags:
    description: Tags to set; other tags stay.
    type: dict
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Make two repositories
  ecr_repositories:
    names: [sdoneks/ingest, sdoneks/router]
"""

RETURN = r"""
uris:
  description: URI of each repository by its name; in check mode of those that are there.
  returned: always
  type: dict
changes:
  description: What differed, by the name of the repository.
  returned: always
  type: dict
"""

import json

from ansible.module_utils.attributes import missing_tags
from ansible_collections.amazon.aws.plugins.module_utils.botocore import is_boto3_error_code
from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from ansible_collections.amazon.aws.plugins.module_utils.tagging import (
    ansible_dict_to_boto3_tag_list,
    boto3_tag_list_to_ansible_dict,
)
from botocore.exceptions import BotoCoreError, ClientError


def find(client, name):
    """The repository, or None."""
    try:
        answer = client.describe_repositories(repositoryNames=[name], aws_retry=True)
    except is_boto3_error_code("RepositoryNotFoundException"):
        return None
    return answer["repositories"][0]


def present(client, name, params, *, check_mode):
    """Make one repository as it is wanted; gives it and what differed."""
    mutability = "IMMUTABLE" if params["immutable_tags"] else "MUTABLE"
    scanning = {"scanOnPush": params["scan_on_push"]}
    repository = find(client, name)
    if repository is None:
        if check_mode:
            return None, ["repository"]
        repository = client.create_repository(
            repositoryName=name,
            imageTagMutability=mutability,
            imageScanningConfiguration=scanning,
            tags=ansible_dict_to_boto3_tag_list(params["tags"] or {}),
        )["repository"]
        set_lifecycle(client, name, params, check_mode=check_mode)
        return repository, ["repository"]
    changes = []
    if repository["imageTagMutability"] != mutability:
        changes.append("tag mutability")
        if not check_mode:
            client.put_image_tag_mutability(repositoryName=name, imageTagMutability=mutability)
    if repository["imageScanningConfiguration"] != scanning:
        changes.append("scanning")
        if not check_mode:
            client.put_image_scanning_configuration(
                repositoryName=name, imageScanningConfiguration=scanning
            )
    changes += set_lifecycle(client, name, params, check_mode=check_mode)
    changes += set_tags(client, repository["repositoryArn"], params, check_mode=check_mode)
    return repository, changes


def set_lifecycle(client, name, params, *, check_mode):
    """Put the lifecycle policy if it differs; gives what differed."""
    if not params["lifecycle_policy"]:
        return []
    try:
        answer = client.get_lifecycle_policy(repositoryName=name, aws_retry=True)
        current = json.loads(answer["lifecyclePolicyText"])
    except is_boto3_error_code("LifecyclePolicyNotFoundException"):
        current = None
    if current == json.loads(params["lifecycle_policy"]):
        return []
    if not check_mode:
        client.put_lifecycle_policy(
            repositoryName=name, lifecyclePolicyText=params["lifecycle_policy"]
        )
    return ["lifecycle policy"]


def set_tags(client, arn, params, *, check_mode):
    """Set tags that are missing; gives what differed."""
    answer = client.list_tags_for_resource(resourceArn=arn, aws_retry=True)
    missing = missing_tags(boto3_tag_list_to_ansible_dict(answer["tags"]), params["tags"])
    if missing and not check_mode:
        client.tag_resource(resourceArn=arn, tags=ansible_dict_to_boto3_tag_list(missing))
    return ["tags"] if missing else []


def absent(client, name, *, check_mode):
    """Remove one repository with its images; gives what differed."""
    if find(client, name) is None:
        return []
    if not check_mode:
        client.delete_repository(repositoryName=name, force=True)
    return ["repository"]


def settle(client, params, *, check_mode):
    """Make it so; gives URIs and what differed, by name."""
    uris, changes = {}, {}
    for name in params["names"]:
        if params["state"] == "absent":
            changes[name] = absent(client, name, check_mode=check_mode)
            continue
        repository, changes[name] = present(client, name, params, check_mode=check_mode)
        if repository:
            uris[name] = repository["repositoryUri"]
    return uris, {name: what for name, what in changes.items() if what}


def main():
    """Run as a module."""
    module = AnsibleAWSModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "immutable_tags": {"type": "bool", "default": True},
            "scan_on_push": {"type": "bool", "default": True},
            "lifecycle_policy": {"type": "json"},
            "tags": {"type": "dict"},
        },
        supports_check_mode=True,
    )
    client = module.client("ecr", retry_decorator=AWSRetry.jittered_backoff())
    try:
        uris, changes = settle(client, module.params, check_mode=module.check_mode)
    except (BotoCoreError, ClientError) as error:
        module.fail_json_aws(error, msg="ECR repositories")
    diff = {"before": {}, "after": changes}
    module.exit_json(changed=bool(changes), uris=uris, changes=changes, diff=diff)


if __name__ == "__main__":
    main()
