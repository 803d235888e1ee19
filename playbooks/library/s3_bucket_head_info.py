#!/usr/bin/python
"""What became of a bucket's name: ours, somebody's, or free.

A question; the collection's s3_bucket_info lists buckets of one's own only.
"""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: s3_bucket_head_info
short_description: Tell whether a bucket is there and may be read
description:
  - Asks for one bucket by name, which also finds buckets of other accounts.
author: [Darkroom]
options:
  name:
    description: Name of the bucket.
    type: str
    required: true
  keys:
    description: Keys that are looked for in a bucket that may be read.
    type: list
    elements: str
    default: []
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
  - amazon.aws.boto3
"""

EXAMPLES = r"""
- name: Look for the bucket with the models
  s3_bucket_head_info:
    name: my-models
"""

RETURN = r"""
state:
  description: C(readable), C(forbidden) (somebody's, and we may not read it) or C(missing).
  returned: always
  type: str
bucket_region:
  description: Region of the bucket, empty if it is missing.
  returned: always
  type: str
missing_keys:
  description: Those of O(keys) that a readable bucket does not have.
  returned: always
  type: list
  elements: str
"""

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule
from ansible_collections.amazon.aws.plugins.module_utils.retries import AWSRetry
from botocore.exceptions import BotoCoreError, ClientError

REGION_HEADER = "x-amz-bucket-region"


def main():
    """Run as a module."""
    spec = {
        "name": {"type": "str", "required": True},
        "keys": {"type": "list", "elements": "str", "default": [], "no_log": False},
    }
    module = AnsibleAWSModule(argument_spec=spec, supports_check_mode=True)
    client = module.client("s3", retry_decorator=AWSRetry.jittered_backoff())
    try:
        answer, state = (
            client.head_bucket(Bucket=module.params["name"], aws_retry=True),
            "readable",
        )
    except ClientError as error:
        answer = error.response
        # A redirect is a bucket in another region.
        states = {301: "readable", 403: "forbidden", 404: "missing"}
        status = answer["ResponseMetadata"]["HTTPStatusCode"]
        if status not in states:
            module.fail_json_aws(error, msg=f"bucket {module.params['name']}")
        state = states[status]
    except BotoCoreError as error:
        module.fail_json_aws(error, msg=f"bucket {module.params['name']}")
    region = answer["ResponseMetadata"]["HTTPHeaders"].get(REGION_HEADER, "")
    missing = missing_keys(module, client) if state == "readable" else []
    module.exit_json(changed=False, state=state, bucket_region=region, missing_keys=missing)


def missing_keys(module, client):
    """The keys that the bucket does not have."""
    bucket, missing = module.params["name"], []
    for key in module.params["keys"]:
        try:
            # A key comes before all others that begin with it.
            answer = client.list_objects_v2(
                Bucket=bucket, Prefix=key, MaxKeys=1, aws_retry=True
            )
        except (BotoCoreError, ClientError) as error:
            module.fail_json_aws(error, msg=f"bucket {bucket}, key {key}")
        if [found["Key"] for found in answer.get("Contents", [])] != [key]:
            missing.append(key)
    return missing


if __name__ == "__main__":
    main()
