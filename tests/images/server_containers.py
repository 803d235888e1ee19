"""Images of real servers, and containers of them with all that their pod gives them."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from containers import debian_image, run
from rendering import containers, environment

BUILD_SECONDS = 3600  # most of it for PyTorch with CUDA
Json = dict[str, Any]


def server_base() -> str:
    """An image with Python 3.11, its venv and apt, and this machine's way to the package index.

    It is DARKROOM_BASE_IMAGE or of Debian's packages, with PIP_INDEX_URL and the file PIP_CERT.
    """
    below = os.environ.get("DARKROOM_BASE_IMAGE") or debian_image(
        "apt", "python3-venv", "ca-certificates", "libstdc++6"
    )
    way = {
        name: os.environ[name] for name in os.environ if name in {"PIP_CERT", "PIP_INDEX_URL"}
    }
    lines = [f"FROM {below}", *(f"ENV {name}={value}" for name, value in way.items())]
    tag = "darkroom-test-server-base"
    with tempfile.TemporaryDirectory() as context:
        if cert := way.get("PIP_CERT"):
            shutil.copy(cert, Path(context) / "ca.crt")
            lines.append(f"COPY ca.crt {cert}")
        (Path(context) / "Dockerfile").write_text("\n".join(lines))
        run("docker", "build", "--tag", tag, context)
    return tag


def build_server(name: str, base: str, root: Path) -> str:
    """Build the image of a server as playbooks/images.yml does; gives the image's name."""
    tag = f"darkroom-test-{name}"
    run(
        "docker", "build", "--network=host", "--tag", tag, f"--build-arg=BASE={base}",
        str(root / "runtimes" / name), seconds=BUILD_SECONDS,
    )  # fmt: skip
    return tag


def unpacked_bytes(image: str) -> int:
    """The size of an image on a node's disk."""
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image))


def pod_container(workload: Json, name: str, image: str, claimed: Path) -> DockerContainer:
    """A container of a rendered workload, not yet started; its claim is the folder `claimed`.

    What a security context or a volume asks for and the engine is not given is an error.
    """
    testcontainers_config.ryuk_disabled = True  # its image is one more to pull; we stop our own
    pod, spec = workload["spec"]["template"]["spec"], containers(workload)[name]
    made = DockerContainer(image).with_kwargs(network_mode="host", **_security(pod, spec))
    for variable, value in environment(spec).items():
        made = made.with_env(variable, value)
    kinds = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in spec["volumeMounts"]:
        path, kind = mount["mountPath"], kinds[mount["name"]]
        if "emptyDir" in kind:
            # As the kubelet makes it.
            group = pod["securityContext"]["fsGroup"]
            made = made.with_tmpfs_mount(path, f"exec,mode=2777,gid={group}")
        else:
            assert kind["persistentVolumeClaim"]["readOnly"]
            assert mount["readOnly"]
            made = made.with_volume_mapping(str(claimed), path, "ro")
    return made


def _security(pod: Json, spec: Json) -> Json:
    """The options of the engine that a pod's and its container's security contexts come to."""
    shared, own = dict(pod["securityContext"]), dict(spec["securityContext"])
    shared.pop("fsGroupChangePolicy")  # of volumes that have files already
    assert shared.pop("seccompProfile") == {"type": "RuntimeDefault"}  # the engine's too
    assert own.pop("runAsNonRoot")  # a node looks at it, and at runAsUser
    capabilities = dict(own.pop("capabilities"))
    options = {
        "user": f"{own.pop('runAsUser')}:{own.pop('runAsGroup')}",
        "group_add": [shared.pop("fsGroup")],
        "read_only": own.pop("readOnlyRootFilesystem"),
        "cap_drop": capabilities.pop("drop"),
        "cap_add": capabilities.pop("add", []),
        "security_opt": [] if own.pop("allowPrivilegeEscalation") else ["no-new-privileges"],
        # Where processes are shared, the server is not process 1.
        "pid_mode": "host" if pod["shareProcessNamespace"] else None,
    }
    assert (shared, own, capabilities) == ({}, {}, {})
    return options
