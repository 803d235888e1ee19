from __future__ import annotations

import base64
import json
import subprocess
from urllib.parse import parse_qs, urlsplit

import pytest

from toolbox import ROOT, tool

SCRIPT = ROOT / "playbooks" / "roles" / "cluster" / "files" / "eks_token.py"


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("eu-central-1", "sts.eu-central-1.amazonaws.com"),
        ("cn-north-1", "sts.cn-north-1.amazonaws.com.cn"),
    ],
)
def test_a_token_is_a_signed_question_for_who_one_is(region: str, host: str) -> None:
    credentials = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "not told"}
    done = subprocess.run(
        [tool("python"), str(SCRIPT), "sdoneks", region],
        check=True,
        env=credentials,
        capture_output=True,
        text=True,
    )

    told = json.loads(done.stdout)
    prefix, _, token = told["status"]["token"].partition(".")
    padding = "=" * (-len(token) % 4)
    url = urlsplit(base64.urlsafe_b64decode(token + padding).decode())
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert (told["kind"], prefix) == ("ExecCredential", "k8s-aws-v1")
    assert (url.scheme, url.hostname) == ("https", host)
    assert query["Action"] == "GetCallerIdentity"
    # Without the name of the cluster in the signature it would be good for any cluster.
    assert query["X-Amz-SignedHeaders"] == "host;x-k8s-aws-id"
    assert query["X-Amz-Credential"].startswith("AKIDEXAMPLE/")
