"""Prints a token for an EKS cluster, as kubectl and Helm ask for it.

Usage: eks_token.py CLUSTER REGION. The token is a request to AWS STS, signed with the caller's
AWS credentials, which EKS makes in the caller's name to learn who it is.
"""

from __future__ import annotations

import base64
import json
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.session import get_session
from botocore.signers import RequestSigner

# EKS takes a token for 15 minutes; asking a little early does no harm.
USED = timedelta(minutes=14)
SIGNED_SECONDS = 60


def main() -> None:
    """Print an ExecCredential."""
    cluster, region = sys.argv[1:]
    status = {
        "token": token(cluster, region),
        "expirationTimestamp": (datetime.now(UTC) + USED).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    json.dump({**kind, "status": status}, sys.stdout)


def token(cluster: str, region: str) -> str:
    """A token; raises botocore's errors if there are no credentials."""
    session: Any = get_session()
    client = session.create_client("sts", region_name=region)
    signer = RequestSigner(
        client.meta.service_model.service_id,
        region,
        "sts",
        "v4",
        session.get_credentials(),
        session.get_component("event_emitter"),
    )
    request = {
        "method": "GET",
        "url": f"{client.meta.endpoint_url}/?Action=GetCallerIdentity&Version=2011-06-15",
        "body": {},
        # Binds the token to this cluster.
        "headers": {"x-k8s-aws-id": cluster},
        "context": {},
    }
    url = signer.generate_presigned_url(
        request, region_name=region, expires_in=SIGNED_SECONDS, operation_name=""
    )
    return "k8s-aws-v1." + base64.urlsafe_b64encode(url.encode()).decode().rstrip("=")


if __name__ == "__main__":
    main()
