"""What a stack has in IAM: how it is found, and removed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ansible.module_utils.stack import Found, Stack

if TYPE_CHECKING:
    from collections.abc import Iterator


def iam_roles(stack: Stack) -> Iterator[Found]:
    """Find roles, whose names have stack and region."""
    for role in stack.pages("iam", "list_roles", "Roles"):
        if role["RoleName"].startswith(f"{stack.name}-{stack.region}-"):
            yield role["RoleName"], role["RoleName"]


def remove_role(stack: Stack, name: str) -> None:
    """Remove a role with what hangs on it."""
    client = stack.client("iam")
    attached = client.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    for policy in attached:
        client.detach_role_policy(RoleName=name, PolicyArn=policy["PolicyArn"])
    for policy in client.list_role_policies(RoleName=name)["PolicyNames"]:
        client.delete_role_policy(RoleName=name, PolicyName=policy)
    for profile in client.list_instance_profiles_for_role(RoleName=name)["InstanceProfiles"]:
        client.remove_role_from_instance_profile(
            RoleName=name, InstanceProfileName=profile["InstanceProfileName"]
        )
    client.delete_role(RoleName=name)


def instance_profiles(stack: Stack) -> Iterator[Found]:
    """Find instance profiles, those too that Karpenter makes for the cluster."""
    prefix = f"{stack.name}-{stack.region}-"
    for each in stack.pages("iam", "list_instance_profiles", "InstanceProfiles"):
        name = each["InstanceProfileName"]
        if name.startswith(prefix) or (
            name.startswith(f"{stack.name}_")
            and any(role["RoleName"].startswith(prefix) for role in each["Roles"])
        ):
            yield name, name


def remove_instance_profile(stack: Stack, name: str) -> None:
    """Remove an instance profile, which must have no role any more."""
    client = stack.client("iam")
    profile = client.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    for role in profile["Roles"]:
        client.remove_role_from_instance_profile(
            InstanceProfileName=name, RoleName=role["RoleName"]
        )
    client.delete_instance_profile(InstanceProfileName=name)


def iam_policies(stack: Stack) -> Iterator[Found]:
    """Find policies of ours."""
    for policy in stack.pages("iam", "list_policies", "Policies", Scope="Local"):
        if policy["PolicyName"].startswith(f"{stack.name}-{stack.region}-"):
            yield policy["Arn"], policy["PolicyName"]


def identity_providers(stack: Stack) -> Iterator[Found]:
    """Find the cluster's identity provider, if one was made."""
    client = stack.client("iam")
    for each in client.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
        arn = each["Arn"]
        if stack.has(
            client.list_open_id_connect_provider_tags(OpenIDConnectProviderArn=arn)["Tags"]
        ):
            yield arn, arn
