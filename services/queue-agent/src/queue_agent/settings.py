"""Every knob of the queue agent. Read once, in `main`, and nowhere else."""

from __future__ import annotations

import socket
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Final, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.kinds import RuntimeType
from egress.addresses import USUAL_PORTS, AddressRules
from queue_agent.domain import Capacity
from servicekit.settings import Duration, ServiceSettings

USER_AGENT: Final = (
    "Darkroom/0.1 (+https://aws.amazon.com/solutions/guidance/"
    "asynchronous-image-generation-with-stable-diffusion-on-aws/)"
)


Price = Annotated[Decimal, Field(ge=0, le=10**6)]


class Settings(ServiceSettings):
    """Environment of one queue agent; names are `QUEUE_AGENT_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_AGENT_")

    agent_name: str = Field(default_factory=socket.gethostname)
    """Which agent it is, for the records of tasks and the logs."""

    pod_name: str = ""
    """In a cluster: the pod that is marked while it is at work."""
    pod_namespace: str = ""

    node_name: str = ""
    """In a cluster: the node of the pod, whose labels say its type, and whether it is Spot."""
    node_type: str = ""
    """The node's type, where that is known without asking the cluster."""
    node_prices: dict[str, dict[Capacity, Price]] = Field(default_factory=dict)
    """An hour of each type of node, `on-demand` and `spot`; work on others has no price."""
    price_currency: str = Field(default="USD", pattern=r"^[A-Z]{3}$")
    gpus: int = Field(default=1, ge=1)
    """GPUs of this pod, of those of the node: its share of the price."""

    queue_url: str
    output_bucket: str
    claim_bucket: str
    notifier_target: str
    """host:port of the notifier."""

    runtime_name: str = Field(min_length=1)
    """Whose queue it is."""
    runtime_type: RuntimeType
    runtime_url: str = Field(pattern=r"^https?://[^/]+/?$")
    invokeai_models_folder: str = ""  # as InvokeAI sees it; registers what is in it
    model_filename: str = ""  # the checkpoint of a runtime that serves one only
    dynamic_model: bool = False  # the runtime may be told to load another checkpoint

    receive_wait: Duration = Field(
        default=timedelta(seconds=10), ge=timedelta(), le=timedelta(seconds=10)
    )
    lease: Duration = Field(
        default=timedelta(seconds=120), ge=timedelta(seconds=3), le=timedelta(hours=12)
    )
    drain: Duration = Field(default=timedelta(seconds=90), ge=timedelta())
    termination_grace: Duration = timedelta(seconds=120)
    settle_budget: Duration = timedelta(minutes=5)
    """Patience with S3 and the notifier."""

    refusal_pause: Duration = Field(default=timedelta(minutes=1), gt=timedelta())
    """Takes nothing for so long after a refusal by AWS, and longer when it is refused again."""

    depth: int = Field(default=1, ge=0, le=8)
    """Tasks staged while one runs; 0: no overlap."""

    run_timeout_floor: Duration = Field(default=timedelta(minutes=5), gt=timedelta())
    run_timeout_cap: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(), le=timedelta(hours=11)
    )
    run_timeout_per_megapixel_step: Duration = Field(
        default=timedelta(seconds=3), ge=timedelta(), le=timedelta(hours=1)
    )
    """A run's time limit: its steps x megapixels x images at this rate, within the bounds."""
    runtime_poll: Duration = Field(default=timedelta(seconds=1), gt=timedelta())
    runtime_silence: Duration = timedelta(seconds=60)  # unanswered polls: the runtime is lost
    answer_bytes: int = Field(default=2**30, ge=2**20)
    """Of one answer of the runtime."""
    runtime_load_time: Duration = Field(default=timedelta(minutes=15), ge=timedelta())
    """More for a run that may load models: the first, or one with another model."""

    input_buckets: tuple[str, ...] = ()
    """The buckets of `s3://` inputs."""
    input_bytes: int = Field(default=20 * 2**20, ge=1)
    """Of each image."""
    input_audio_bytes: int = Field(default=50 * 2**20, ge=1)
    input_video_bytes: int = Field(default=200 * 2**20, ge=1)
    input_model_bytes: int = Field(default=100 * 2**20, ge=1)
    """Of each 3D model."""
    input_total_bytes: int = Field(default=256 * 2**20, ge=1)
    """Of the inputs of one task."""
    input_count: int = Field(default=16, ge=0)
    input_timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta())
    input_redirects: int = Field(default=5, ge=0, le=20)
    input_user_agent: str = Field(default=USER_AGENT, pattern=r"^[ -~]+$")
    """Who servers are told that asks."""
    input_ports: tuple[int, ...] = tuple(sorted(USUAL_PORTS))
    """Ports of public hosts."""
    input_private_hosts: tuple[str, ...] = ()
    """Names, addresses or CIDRs that need not be public, any port."""

    @field_validator("input_private_hosts")
    @classmethod
    def _hosts_are_readable(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        AddressRules.read(hosts)
        return hosts

    @model_validator(mode="after")
    def _shutdown_fits(self) -> Self:
        if self.receive_wait + self.drain >= self.termination_grace:
            raise ValueError("receive_wait + drain must be shorter than termination_grace")
        return self

    @model_validator(mode="after")
    def _pod_is_whole(self) -> Self:
        if bool(self.pod_name) != bool(self.pod_namespace):
            raise ValueError("pod_name and pod_namespace must both be set, or neither")
        return self

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.run_timeout_floor > self.run_timeout_cap:
            raise ValueError("run_timeout_floor must not be longer than run_timeout_cap")
        return self
