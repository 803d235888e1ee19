"""InvokeAI: a package; the agent registers the models of the bucket with it."""

from __future__ import annotations

from typing import Final

from contracts.kinds import RuntimeType
from darkroom_cli.runtimes.environment import device_check, make_venv, pip_install, uv_install
from darkroom_cli.runtimes.server import Device, Launch, Place, Server, Serving, Step, Wish

KEPT_QUEUE_ITEMS: Final = 1000  # of earlier starts


def _steps(place: Place, wish: Wish) -> tuple[Step, ...]:
    what = ("-e", str(wish.source)) if wish.source else (f"InvokeAI=={wish.version}",)
    return (
        make_venv(place, wish),
        pip_install(place, "get uv", "uv"),
        uv_install(place, wish, "install InvokeAI", *what),
        device_check(place, wish),
    )


def _version_call(place: Place, wish: Wish) -> Step:
    return Step(title="ask for its version", command=(_web(place), "--version"))


def _web(place: Place) -> str:
    return place.program("invokeai-web")


def _launch(place: Place, wish: Wish, to: Serving) -> Launch:
    outputs = to.files / "outputs"
    return Launch(
        command=(_web(place), "--root", str(to.files)),
        folder=to.files,
        environment={
            "INVOKEAI_HOST": "127.0.0.1",
            "INVOKEAI_PORT": str(to.port),
            "INVOKEAI_OUTPUTS_DIR": str(outputs),
            "INVOKEAI_DEVICE": "cpu" if to.device is Device.CPU else "auto",
            "INVOKEAI_LOG_FORMAT": "plain",
            "INVOKEAI_MAX_QUEUE_HISTORY": str(KEPT_QUEUE_ITEMS),
        },
        swept=(outputs,),
    )


INVOKEAI: Final = Server(
    type=RuntimeType.INVOKEAI,
    title="InvokeAI",
    version="6.14.2",
    licence="Apache-2.0",
    origin="the package InvokeAI of the package index",
    pythons=("3.12", "3.11"),
    devices=tuple(Device),
    gigabytes=9,
    cpu_gigabytes=4,
    marker="invokeai/version/invokeai_version.py",
    steps=_steps,
    version_call=_version_call,
    launch=_launch,
)
