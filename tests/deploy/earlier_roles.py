"""What the roles before the cluster's tell the later ones, for tests of the later ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

ACCOUNT = "000000000000"
REGION = "us-east-1"
STACK = "sdoneks"
DIGEST = "sha256:" + "ab" * 32


def runtime(name: str, **others: Any) -> dict[str, Any]:
    """An entry of `deployment.runtimes`."""
    image = {"repository": "registry.example/runtimes/sdwebui", "tag": "1.10.1"}
    return {
        "name": name,
        "namespace": "default",
        "type": "sdwebui",
        "model_filename": "v1-5-pruned-emaonly.safetensors",
        "dynamic_model": False,
        "chart_repository": "",
        "chart_version": "",
        "values": {"runtime": {"inferenceApi": {"image": image}}},
        **others,
    }


def facts(*runtimes: dict[str, Any], partition: str = "aws") -> dict[str, Any]:
    """The facts of these roles, for a stack with the runtimes."""
    china = partition == "aws-cn"
    where = f"{REGION}:{ACCOUNT}"
    names = ["ingest", "router", "notifier", "model-sync", "queue-agent"]
    webhooks = _queues(f"{STACK}_webhooks", partition)
    return {
        "deployment": {
            "stack": STACK,
            "stack_name": STACK,
            "stage_name": "dev",
            "rate_limit": 30,
            "burst_limit": 50,
            "node_prices": {"currency": "USD", "types": {"g5.xlarge": {"on-demand": 1.006}}},
            "runtimes": list(runtimes),
        },
        "deployment_account": ACCOUNT,
        "deployment_partition": partition,
        "deployment_region": REGION,
        "deployment_dns_suffix": "amazonaws.com.cn" if china else "amazonaws.com",
        "deployment_tags": {"darkroom/stack": STACK},
        "network_cidr": "10.0.0.0/16",
        "network_public_subnet_ids": ["subnet-0a", "subnet-0b", "subnet-0c"],
        "network_private_subnet_ids": ["subnet-1a", "subnet-1b", "subnet-1c"],
        "stack_deployed": {},
        "cluster_name": STACK,
        "cluster_arn": f"arn:{partition}:eks:{where}:cluster/{STACK}",
        "cluster_api_key_id": "",
        "cluster_api_keys_secret": (
            f"arn:{partition}:secretsmanager:{where}:secret:{STACK}-api-keys-AbCdEf"
        ),
        "cluster_node_role": f"{STACK}-{REGION}-karpenter-node",
        "cluster_interruption_queue": f"{STACK}_interruptions",
        "cluster_webhook_queue_url": webhooks["url"],
        "cluster_webhook_dead_letter_queue_url": webhooks["dlq_url"],
        "storage_output_bucket": f"{STACK}-output-{ACCOUNT}-{REGION}",
        "storage_claim_bucket": f"{STACK}-claims-{ACCOUNT}-{REGION}",
        "storage_model_bucket": "model-bucket",
        "storage_table": f"{STACK}-ledger",
        "storage_table_arn": f"arn:{partition}:dynamodb:{where}:table/{STACK}-ledger",
        "messaging_task_topic_arn": f"arn:{partition}:sns:{where}:{STACK}-tasks",
        "messaging_result_topic_arn": f"arn:{partition}:sns:{where}:{STACK}-results",
        "messaging_queues": {
            each["name"]: _queues(f"{STACK}-{each['name']}", partition) for each in runtimes
        },
        "images": {
            name: {"repository": f"registry.example/{STACK}/{name}", "digest": DIGEST}
            for name in names
        },
    }


def cluster_facts(kubeconfig: Path, *runtimes: dict[str, Any]) -> dict[str, Any]:
    """The facts for roles that apply to a cluster, too."""
    return {
        **facts(*runtimes),
        "cluster_name": STACK,
        "kubernetes_apply": True,
        "kubernetes_kubeconfig": str(kubeconfig),
        "teardown_poll_seconds": 1,
        "teardown_wait_seconds": 20,
    }


def _queues(name: str, partition: str) -> dict[str, str]:
    arn = f"arn:{partition}:sqs:{REGION}:{ACCOUNT}:{name}"
    url = f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"
    return {"arn": arn, "url": url, "dlq_arn": f"{arn}-dlq", "dlq_url": f"{url}-dlq"}
