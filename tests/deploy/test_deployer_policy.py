"""The policy of the deployer allows what a deployment calls, and of that nothing unnamed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from cfn_lint import lint, permissions
from policies import listed
from rendered_stacks import REGIONS, ROLES

from toolbox import ROOT

TEXT = (ROOT / "docs" / "deploy" / "deployer-policy.yaml").read_text()
BY_CLOUDFORMATION = {
    "ForAnyValue:StringEquals": {"aws:CalledVia": "cloudformation.amazonaws.com"}
}
POLICY_CHARACTERS = 6144
LONGEST = {
    "AWS::Partition": "aws-cn",
    "AWS::Region": "cn-northwest-1",
    "AWS::AccountId": "123456789012",
    "Stack": "s" * 28,
    "GatewayStack": "s" * 33,
    "ModelBucket": "m" * 63,
}
UNUSED = {
    # What the handlers of our types want for properties that our templates do not give.
    "apigateway:UpdateRestApiPolicy": "the API has no policy",
    "ec2:AcceptAddressTransfer": "addresses are new",
    "ec2:AssignPrivateNatGatewayAddress": "NAT gateways are public, with one address",
    "ec2:AssociateAddress": "addresses are of NAT gateways",
    "ec2:AssociateNatGatewayAddress": "NAT gateways have one address",
    "ec2:AssociateSubnetCidrBlock": "subnets have no IPv6",
    "ec2:AttachVpnGateway": "there is no VPN",
    "ec2:AuthorizeSecurityGroupEgress": "the group has no rules",
    "ec2:AuthorizeSecurityGroupIngress": "the group has no rules",
    "ec2:CreateVpcEncryptionControl": "the VPC has none",
    "ec2:DetachVpnGateway": "there is no VPN",
    "ec2:DisassociateNatGatewayAddress": "NAT gateways have one address",
    "ec2:DisassociateSubnetCidrBlock": "subnets have no IPv6",
    "ec2:ModifyVpcTenancy": "the tenancy does not change",
    "ec2:UnassignPrivateNatGatewayAddress": "NAT gateways are public",
    "ec2:UpdateSecurityGroupRuleDescriptionsEgress": "the group has no rules",
    "ec2:UpdateSecurityGroupRuleDescriptionsIngress": "the group has no rules",
    "eks:ActivateCertificateAuthority": "the authority does not change",
    "iam:DeleteRolePermissionsBoundary": "roles have no boundary",
    "iam:PutRolePermissionsBoundary": "roles have no boundary",
    "secretsmanager:GetRandomPassword": "the text of the secret is given",
    "secretsmanager:RemoveRegionsFromReplication": "the secret is in one region",
    "secretsmanager:ReplicateSecretToRegions": "the secret is in one region",
    "sns:PutDataProtectionPolicy": "topics have none",
    "vpc-lattice:CreateServiceNetworkVpcEndpointAssociation": "endpoints are of type Gateway",
    "vpc-lattice:DescribeServiceNetworkVpcEndpointAssociation": "endpoints are of type Gateway",
    "vpce:AllowMultiRegion": "endpoints are of the region",
}
ACTIONS = {
    # What the calls of our modules are to IAM, where it is not their name.
    "complete_multipart_upload": "PutObject",
    "create_multipart_upload": "PutObject",
    "delete_objects": "DeleteObjectVersion",
    "get_api_key": "GET",
    "get_api_keys": "GET",
    "get_aws_default_service_quota": "GetAWSDefaultServiceQuota",
    "get_caller_identity": None,  # anybody may
    "get_paginator": None,  # calls nothing
    "get_waiter": None,
    "head_bucket": "ListBucket",
    "head_object": "GetObject",
    "list_buckets": "ListAllMyBuckets",
    "list_object_versions": "ListBucketVersions",
    "upload_part": "PutObject",
}


class Loader(yaml.SafeLoader):
    """Reads the short forms of CloudFormation's functions as what they are about."""


Loader.add_constructor("!Ref", lambda _, node: f"${{{node.value}}}")
Loader.add_constructor("!Sub", lambda _, node: node.value)
Loader.add_constructor("!Join", lambda *_: None)
DOCUMENTS: dict[str, dict[str, Any]] = {
    name: resource["Properties"]["PolicyDocument"]
    for name, resource in yaml.load(TEXT, Loader)["Resources"].items()  # noqa: S506  # a safe one
}
STATEMENTS = {
    f"{name}-{statement['Sid']}": statement
    for name, document in DOCUMENTS.items()
    for statement in document["Statement"]
}
ALLOWED = {action for each in STATEMENTS.values() for action in listed(each["Action"])}


def test_cfn_lint_finds_nothing_in_any_region() -> None:
    assert [found for found in lint([(TEXT, region) for region in REGIONS]) if found] == []


@pytest.mark.parametrize("name", DOCUMENTS)
def test_iam_takes_each_policy_with_the_longest_names(name: str) -> None:
    text = json.dumps(DOCUMENTS[name], separators=(",", ":"))
    for variable, value in LONGEST.items():
        text = text.replace(f"${{{variable}}}", value)

    assert "${" not in text
    assert len(text) <= POLICY_CHARACTERS


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_is_allowed_has_a_name(name: str) -> None:
    statement = STATEMENTS[name]
    actions = listed(statement["Action"])
    question = re.compile("[a-z0-9-]+:(Describe|Get|List|Cancel|Batch)")
    asks = all(question.match(action) for action in actions)
    named = re.compile(r"\$\{(Stack|GatewayStack|ModelBucket)\}")

    assert [action for action in actions if "*" in action] == []
    assert sorted(actions) == actions
    assert statement.keys() <= {"Sid", "Effect", "Action", "Resource", "Condition"}
    if not asks and statement.get("Condition") != BY_CLOUDFORMATION:
        assert "*" not in listed(statement["Resource"])
        limited = "Condition" in statement or name in {
            # It needs a role, a group or an instance, which have names.
            "Nodes-StartItWith",
            "Nodes-TakeTheSnapshot",
            "Nodes-ByAScript",
            # API Gateway names nothing, and its keys are asked for by name.
            "Stacks-Key",
        }
        assert limited or all(named.search(each) for each in listed(statement["Resource"]))


def test_cloudformation_may_do_with_our_types_what_it_needs() -> None:
    declared = re.compile(r"\bType: (AWS::\w+::\w+)")
    templates = [path.read_text() for path in ROLES.glob("*/templates/*.j2")]
    types = sorted({of for text in templates for of in declared.findall(text)})
    needed = {action for actions in permissions(types).values() for action in actions}

    assert len(types) > 30
    assert needed - ALLOWED == UNUSED.keys()


def test_what_our_modules_call_is_allowed() -> None:
    folders = [ROOT / "playbooks" / folder for folder in ("library", "module_utils")]
    sources = [path.read_text() for folder in folders for path in folder.glob("*.py")]
    call = re.compile(
        r"""\b(?:client|sqs|sns|s3)\.([a-z_]+)\("""
        r"""|get_paginator\("(\w+)"|"([a-z]+_[a-z_]+)", "[A-Z]"""
    )
    calls = {name for text in sources for found in call.findall(text) for name in found if name}
    names = {action.partition(":")[2] for action in ALLOWED}
    wanted = {
        call: ACTIONS.get(call, "".join(map(str.capitalize, call.split("_")))) for call in calls
    }

    assert len(calls) > 60
    assert {call for call, action in wanted.items() if action and action not in names} == set()
