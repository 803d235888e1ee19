"""What a stack has in services without a network: how it is found, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.stack import Found, Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def api_gateway(call: str, key: str = "items") -> Callable[[Stack], Iterator[Found]]:
    """A finder of what API Gateway lists with its tags."""

    def find(stack: Stack) -> Iterator[Found]:
        for item in stack.pages("apigateway", call, key):
            if stack.has(item.get("tags", {})) or item.get("name") == stack.name:
                yield item["id"], item.get("name", "")

    return find


def remove_usage_plan(stack: Stack, plan: str) -> None:
    """Remove a usage plan, which must have no stage any more."""
    client = stack.client("apigateway")
    for stage in client.get_usage_plan(usagePlanId=plan).get("apiStages", []):
        client.update_usage_plan(
            usagePlanId=plan,
            patchOperations=[
                {
                    "op": "remove",
                    "path": "/apiStages",
                    "value": f"{stage['apiId']}:{stage['stage']}",
                }
            ],
        )
    client.delete_usage_plan(usagePlanId=plan)


def rules(stack: Stack) -> Iterator[Found]:
    """Find rules of EventBridge."""
    client = stack.client("events")
    listed = stack.pages("events", "list_rules", "Rules", NamePrefix=f"{stack.name}-")
    for rule in listed:
        if stack.has(client.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]):
            yield rule["Name"], rule["Name"]


def remove_rule(stack: Stack, name: str) -> None:
    """Remove a rule, which must have no target any more."""
    client = stack.client("events")
    targets = [target["Id"] for target in client.list_targets_by_rule(Rule=name)["Targets"]]
    if targets:
        client.remove_targets(Rule=name, Ids=targets)
    client.delete_rule(Name=name)


def alarms(stack: Stack) -> Iterator[Found]:
    """Find alarms."""
    client = stack.client("cloudwatch")
    prefix = f"{stack.name}/"
    listed = stack.pages(
        "cloudwatch", "describe_alarms", "MetricAlarms", AlarmNamePrefix=prefix
    )
    for alarm in listed:
        if stack.has(client.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]):
            yield alarm["AlarmName"], alarm["AlarmName"]


def dashboards(stack: Stack) -> Iterator[Found]:
    """Find the dashboard, which cannot have tags."""
    names = {stack.name, f"{stack.name}-{stack.region}"}
    for each in stack.pages("cloudwatch", "list_dashboards", "DashboardEntries"):
        if each["DashboardName"] in names:
            yield each["DashboardName"], each["DashboardName"]


def log_groups(stack: Stack) -> Iterator[Found]:
    """Find the log groups of the cluster and the services."""
    for root in ("/aws/eks", "/aws/containerinsights", "/darkroom"):
        prefix = f"{root}/{stack.name}/"
        for each in stack.pages(
            "logs", "describe_log_groups", "logGroups", logGroupNamePrefix=prefix
        ):
            yield each["logGroupName"], each["logGroupName"]


def secrets(stack: Stack) -> Iterator[Found]:
    """Find secrets."""
    for each in stack.pages("secretsmanager", "list_secrets", "SecretList"):
        if each["Name"].startswith(f"{stack.name}/") and "DeletedDate" not in each:
            yield each["ARN"], each["Name"]


def trace_policies(stack: Stack) -> Iterator[Found]:
    """Find the policy by which topics send segments."""
    for each in stack.pages("xray", "list_resource_policies", "ResourcePolicies"):
        if each["PolicyName"] == f"{stack.name}-{stack.region}-topics":
            yield each["PolicyName"], each["PolicyName"]


def topics(stack: Stack) -> Iterator[Found]:
    """Find topics; their subscriptions go with them."""
    client = stack.client("sns")
    for topic in stack.pages("sns", "list_topics", "Topics"):
        arn = topic["TopicArn"]
        name = arn.rpartition(":")[2]
        if not name.startswith(stack.name):
            continue
        if stack.has(client.list_tags_for_resource(ResourceArn=arn)["Tags"]):
            yield arn, name


def queues(stack: Stack) -> Iterator[Found]:
    """Find queues, those of dead letters too."""
    client = stack.client("sqs")
    for url in stack.pages("sqs", "list_queues", "QueueUrls", QueueNamePrefix=stack.name):
        try:
            tags = client.list_queue_tags(QueueUrl=url).get("Tags", {})
        except client.exceptions.QueueDoesNotExist:
            continue  # a queue is listed for a while after it was removed
        if stack.has(tags):
            yield url, url.rpartition("/")[2]


def repositories(stack: Stack) -> Iterator[Found]:
    """Find repositories of images and charts."""
    for each in stack.pages("ecr", "describe_repositories", "repositories"):
        name = each["repositoryName"]
        if name.startswith(f"{stack.name}/"):
            yield name, name


def tables(stack: Stack) -> Iterator[Found]:
    """Find the table of tasks."""
    for name in stack.pages("dynamodb", "list_tables", "TableNames"):
        if name == f"{stack.name}-ledger":
            yield name, name


def buckets(stack: Stack) -> Iterator[Found]:
    """Find buckets that the playbooks have made; a bucket of models may be somebody's."""
    client = stack.client("s3")
    for each in client.list_buckets()["Buckets"]:
        try:
            tags = client.get_bucket_tagging(Bucket=each["Name"])["TagSet"]
        except client.exceptions.ClientError:
            continue  # without tags, or not ours to read
        if stack.has(tags):
            yield each["Name"], each["Name"]


def remove_bucket(stack: Stack, name: str) -> None:
    """Remove a bucket with all objects and their versions."""
    client = stack.client("s3")
    for page in client.get_paginator("list_object_versions").paginate(Bucket=name):
        versions = page.get("Versions", []) + page.get("DeleteMarkers", [])
        keys = [{"Key": v["Key"], "VersionId": v["VersionId"]} for v in versions]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=name):
        keys = [{"Key": each["Key"]} for each in page.get("Contents", [])]
        if keys:
            client.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
    client.delete_bucket(Bucket=name)
