"""Images of the services and containers of them, as a cluster runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from darkroom_cli.embedded.processes import Program

SERVICES = ("model-sync", "notifier", "router", "queue-agent", "ingest")
DEBIAN = "bookworm"  # whose Python is 3.11


def base_image() -> str:
    """An image with Python 3.11: DARKROOM_BASE_IMAGE, or one of Debian's packages."""
    named = os.environ.get("DARKROOM_BASE_IMAGE")
    return named or debian_image("essential", "python3", "ca-certificates", "libstdc++6")


def debian_image(variant: str, *packages: str) -> str:
    """An image of Debian's packages, on top of a variant of mmdebstrap."""
    tag = f"darkroom-test-debian-{variant}"
    with tempfile.TemporaryDirectory() as folder:
        tarball = Path(folder) / "root.tar"
        include = f"--include={','.join(packages)}"
        run("mmdebstrap", "--quiet", f"--variant={variant}", include, DEBIAN, str(tarball))
        run("docker", "import", str(tarball), tag)
    return tag


def build(service: str, base: str, root: Path) -> str:
    """Build the image of a service from its PEX in `root`; gives the image's name."""
    tag = f"darkroom-test-{service}"
    with tempfile.TemporaryDirectory() as context:
        shutil.copy(root / "images" / "Dockerfile", context)
        (pex,) = root.rglob(f"{service}.pex")
        shutil.copy(pex, context)
        run(
            "docker", "build", "--network=host", "--tag", tag, "--build-arg", f"BASE={base}",
            "--build-arg", f"SERVICE={service}", context,
        )  # fmt: skip
    return tag


def container(program: Program, image: str, folder: Path) -> DockerContainer:
    """A container, not yet started, that runs a service as its pod would."""
    testcontainers_config.ryuk_disabled = True  # its image is one more to pull; we stop our own
    made = DockerContainer(image).with_volume_mapping(str(folder), str(folder), "ro")
    for name, value in program.environment.items():
        made = made.with_env(name, value)
    made = made.with_tmpfs_mount("/tmp")  # noqa: S108  # the only place it may write to
    return made.with_kwargs(
        network_mode="host",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )


def user(image: str) -> str:
    """The user and group that an image runs as."""
    return run("docker", "image", "inspect", "--format", "{{.Config.User}}", image).strip()


def run(*command: str, seconds: int = 600) -> str:
    """What a command prints; an error with its last words if it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=seconds)
    said = done.stdout[-2000:] + done.stderr[-2000:]
    assert done.returncode == 0, f"{' '.join(command)}: {said}"
    return done.stdout
