"""The templates of the CloudFormation stacks, rendered by the roles without an AWS."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ansible_runs import Ansible
from deployment.check import check
from deployment.normalise import normalised
from toolbox import ROOT

ACCOUNT = "123456789012"
GOLDEN = ROOT / "tests" / "contract" / "golden" / "config.yaml"
THREE_RUNTIMES = ROOT / "tests" / "deploy" / "configs" / "three-runtimes.yaml"
REGIONS = (
    "us-east-1",
    "us-west-2",
    "eu-west-1",
    "ap-southeast-1",
    "cn-north-1",
    "cn-northwest-1",
)
ROLES = ROOT / "playbooks" / "roles"
STACKS = {
    "network": "{{ deployment.stack }}-network",
    "image_cache": "{{ deployment.stack }}-image-cache",
    "cluster": "{{ deployment.stack }}-cluster",
    "messaging": "{{ deployment.stack }}-runtime-{{ messaging_runtime.name }}",
    "gateway": "{{ deployment.stack_name }}Stack",
}
"""Names of stacks by the role whose `templates/stack.yaml.j2` they have."""
Templates = dict[str, dict[str, Any]]
"""Templates by the name of their stack."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a user would deploy, and where."""

    config: Path = GOLDEN
    region: str = "us-east-1"
    variables: Mapping[str, Any] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """What a role reads when it is its turn, as if AWS had told it."""
        china = self.region.startswith("cn-")
        partition, suffix = "aws-cn" if china else "aws", ".cn" if china else ""
        where = f"{self.region}:{ACCOUNT}"
        text = self.config.read_text().replace("arn:aws:", f"arn:{partition}:")
        deployment = normalised(check(text, self.region))
        stack = deployment["stack"]
        topics = f"arn:{partition}:sns:{where}:{stack}"
        balancer = "loadbalancer/net/a1/0123456789abcdef"
        return {
            "deployment": deployment,
            "deployment_account": ACCOUNT,
            "deployment_partition": partition,
            "deployment_region": self.region,
            "deployment_dns_suffix": f"amazonaws.com{suffix}",
            "deployment_tags": {"darkroom/stack": stack},
            "__network_zones": [f"{self.region}{zone}" for zone in "abc"],
            "network_public_subnet_ids": [f"subnet-0123456789abcdef{at}" for at in range(3)],
            "network_private_subnet_ids": [
                f"subnet-0123456789abcdef{at}" for at in range(3, 6)
            ],
            "network_vpc_id": "vpc-0123456789abcdef0",
            "storage_output_bucket": f"{stack}-output-{ACCOUNT}-{self.region}",
            "storage_claim_bucket": f"{stack}-claims-{ACCOUNT}-{self.region}",
            "storage_model_bucket": deployment["model_bucket"],
            "storage_table": f"{stack}-ledger",
            "storage_table_arn": f"arn:{partition}:dynamodb:{where}:table/{stack}-ledger",
            "cluster_name": stack,
            "cluster_arn": f"arn:{partition}:eks:{where}:cluster/{stack}",
            "cluster_api_key_id": "0123456789",
            "__cluster_versions": {"coredns": "v1.13.1-eksbuild.1"},
            "messaging_task_topic_arn": f"{topics}-tasks",
            "messaging_result_topic_arn": f"{topics}-results",
            "__image_cache_plan": {
                "repository_arns": [f"arn:{partition}:ecr:{where}:repository/a"]
            },
            "__gateway_balancer": {
                "arn": f"arn:{partition}:elasticloadbalancing:{where}:{balancer}",
                "dns_name": f"a1.elb.{self.region}.amazonaws.com{suffix}",
            },
            **self.variables,
        }


CONFIGURATIONS: dict[str, Configuration] = {
    **{region: Configuration(region=region) for region in REGIONS},
    "three-runtimes": Configuration(
        THREE_RUNTIMES,
        variables={
            "network_nat": "single",
            "messaging_input_buckets": ["inputs", "more-inputs"],
            "messaging_alarm_topic_arn": f"arn:aws:sns:us-east-1:{ACCOUNT}:alarms",
            "cluster_encryption_key_arn": f"arn:aws:kms:us-east-1:{ACCOUNT}:key/"
            "12345678-1234-1234-1234-123456789012",
            "gateway_endpoint_url": "https://images.example.com",
            "gateway_preflight": True,
        },
    ),
    "smallest": Configuration(
        variables={
            "cluster_public_access": False,
            "cluster_topic_kms_key": "",
            "cluster_topic_tracing": False,
            "gateway_streams": False,
            "__image_cache_plan": {"repository_arns": []},
        }
    ),
    "before-the-load-balancer": Configuration(variables={"__gateway_balancer": {}}),
}
"""What the checks of templates look at, by name."""


def render(
    ansible: Ansible, configurations: Mapping[str, Configuration]
) -> dict[str, Templates]:
    """The templates of each configuration, all rendered in one run of Ansible."""
    # Each configuration is a host; the first inventory has the variables of all beside it.
    here = {
        "ansible_connection": "local",
        "ansible_python_interpreter": "{{ ansible_playbook_python }}",
    }
    hosts = {name: here | each.facts() for name, each in configurations.items()}
    inventory = ansible.folder / "configurations.json"
    inventory.write_text(json.dumps({"all": {"hosts": hosts}}))
    both = ["-i", str(ROOT / "playbooks" / "inventory.yml"), "-i", str(inventory)]
    playbook = ansible.folder / "render.yml"
    playbook.write_text(json.dumps([_play(configurations)]))
    # Shared by the templates, and found beside the playbook.
    (ansible.folder / "templates").symlink_to(ROLES / "stack" / "templates")
    ansible.play(playbook, *both, "--tags", "render", "--skip-tags", "always")
    texts = {
        name: json.loads((ansible.folder / f"{name}.json").read_text())
        for name in configurations
    }
    return {
        name: {stack: yaml.safe_load(text) for stack, text in each.items()}
        for name, each in texts.items()
    }


def _play(configurations: Mapping[str, Configuration]) -> dict[str, Any]:
    """A play that has the variables of the roles, and runs none of their tasks."""
    return {
        "hosts": ",".join(configurations),
        "gather_facts": False,
        "roles": list(STACKS),
        "tasks": [
            *(_remember(role) for role in STACKS if role != "messaging"),
            _remember("messaging")
            | {
                "loop": "{{ deployment.runtimes }}",
                "loop_control": {"loop_var": "messaging_runtime"},
            },
            {
                "ansible.builtin.copy": {
                    "content": "{{ texts | to_json }}",
                    "dest": "{{ playbook_dir }}/{{ inventory_hostname }}.json",
                    "mode": "0644",
                },
                "tags": ["render"],
            },
        ],
    }


def _remember(role: str) -> dict[str, Any]:
    path = ROLES / role / "templates" / "stack.yaml.j2"
    text = f"lookup('ansible.builtin.template', '{path}')"
    all_texts = f"{{{{ texts | default({{}}) | combine({{stack_name: {text}}}) }}}}"
    return {
        "ansible.builtin.set_fact": {"texts": all_texts},
        "vars": {"stack_name": STACKS[role]},
        "tags": ["render"],
    }
