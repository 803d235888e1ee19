"""Every knob of the queue agent. Read once, in `main`, and nowhere else."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from contracts.kinds import RuntimeType
from queue_agent.input_addresses import USUAL_PORTS, AddressRules
from servicekit.settings import ServiceSettings


def _seconds(value: object) -> object:
    """Take a plain number as seconds; the other forms are `PT90S` and `00:01:30`."""
    try:
        return timedelta(seconds=float(value)) if isinstance(value, str) else value
    except ValueError:
        return value


Duration = Annotated[timedelta, BeforeValidator(_seconds)]


class Settings(ServiceSettings):
    """Environment of one queue agent; names are `QUEUE_AGENT_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="QUEUE_AGENT_")

    grpc_port: int = Field(default=50051, ge=0, le=65535)  # the health service only
    agent_name: str = Field(default_factory=socket.gethostname)

    # In a cluster: the pod that is marked while it is at work. Empty: none is.
    pod_name: str = ""
    pod_namespace: str = ""

    queue_url: str
    output_bucket: str
    claim_bucket: str
    notifier_target: str  # gRPC target, for example `notifier:50051`

    runtime_name: str = Field(min_length=1)  # whose queue it is
    runtime_type: RuntimeType
    runtime_url: str = Field(pattern=r"^https?://[^/]+/?$")
    invokeai_models_folder: str = ""  # as InvokeAI sees it; registers what is in it
    dynamic_model: bool = False  # the runtime may be told to load another checkpoint

    receive_wait: Duration = Field(
        default=timedelta(seconds=10), ge=timedelta(), le=timedelta(seconds=10)
    )
    lease: Duration = Field(
        default=timedelta(seconds=120), ge=timedelta(seconds=3), le=timedelta(hours=12)
    )
    drain: Duration = Field(default=timedelta(seconds=90), ge=timedelta())
    termination_grace: Duration = timedelta(seconds=120)
    settle_budget: Duration = timedelta(minutes=5)  # patience with S3 and the notifier

    depth: int = Field(default=1, ge=0, le=8)  # tasks staged while one runs; 0: no overlap

    # A run's time limit: its steps x megapixels x images at this rate, within the bounds.
    run_timeout_floor: Duration = Field(default=timedelta(minutes=5), gt=timedelta())
    run_timeout_cap: Duration = Field(
        default=timedelta(hours=1), gt=timedelta(), le=timedelta(hours=11)
    )
    run_timeout_per_megapixel_step: Duration = Field(
        default=timedelta(seconds=3), ge=timedelta(), le=timedelta(hours=1)
    )
    runtime_poll: Duration = Field(default=timedelta(seconds=1), gt=timedelta())
    runtime_silence: Duration = timedelta(seconds=60)  # unanswered polls: the runtime is lost
    answer_bytes: int = Field(default=2**30, ge=2**20)  # of one answer of the runtime
    # Without progress for so long it hangs; upscalers and decoders of videos tell none.
    runtime_stall: Duration = Field(default=timedelta(minutes=10), gt=timedelta())
    # The same in a run that may have to load models: the first, or one with another model.
    runtime_cold_stall: Duration = Field(default=timedelta(minutes=15), gt=timedelta())

    input_buckets: tuple[str, ...] = ()  # JSON list; the buckets of `s3://` inputs
    input_bytes: int = Field(default=20 * 2**20, ge=1)  # of each input
    input_total_bytes: int = Field(default=100 * 2**20, ge=1)  # of one task
    input_count: int = Field(default=16, ge=0)
    input_timeout: Duration = Field(default=timedelta(seconds=30), gt=timedelta())
    input_redirects: int = Field(default=5, ge=0, le=20)
    input_ports: tuple[int, ...] = tuple(sorted(USUAL_PORTS))  # JSON list; of public hosts
    input_private_hosts: tuple[str, ...] = ()  # JSON list; names, addresses or CIDRs, any port

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
