"""Every knob of the notifier. Read once, in `main`, and nowhere else."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

from egress.addresses import AddressRules
from servicekit.settings import Duration, GrpcSettings

_SOON = timedelta(milliseconds=1)


class Settings(GrpcSettings):
    """Environment of the notifier; names are `NOTIFIER_<FIELD>`."""

    model_config = SettingsConfigDict(env_prefix="NOTIFIER_")

    grpc_port: int = Field(default=50051, ge=1, le=65535)
    """Port for agents and for ingest."""
    result_topic_arn: str
    """Topic of the callbacks."""
    table: str
    """Table of the ledger."""
    failures: int = Field(default=3, ge=1)
    """Failures of the platform after which a task is given up."""
    receives: int = Field(default=10, ge=1)
    """maxReceiveCount of the redrive policy of the queues."""
    progress_interval: Duration = Field(default=timedelta(seconds=1), ge=timedelta(0))
    """Between two writes of the progress of one task."""
    watch_poll: Duration = Field(default=timedelta(seconds=0.5), ge=_SOON)
    """Between two looks at a watched task."""
    watchers: int = Field(default=1000, ge=1)
    """Watchers of tasks at the same time."""
    sweep_interval: Duration = Field(default=timedelta(seconds=30), ge=_SOON)
    """Between two searches for callbacks that were not sent."""
    sweep_age: Duration = Field(default=timedelta(seconds=60), ge=timedelta(0))
    """A callback that is due for longer was not sent, and is sent by a search."""
    dead_letter_queues: tuple[str, ...] = ()
    """URLs of the dead-letter queues of all runtimes, as a JSON list."""
    queue_prefix: str = ""
    """What the names of the queues begin with, before `-`, the runtime, and `-dlq`."""
    output_bucket: str = ""
    """Bucket of the results, for the records of tasks that were published past the router."""
    parked_interval: Duration = Field(default=timedelta(seconds=30), ge=_SOON)
    """Between two looks whether messages were parked."""
    webhook_queue_url: str
    """Queue of what is to be sent to webhooks."""
    webhook_dead_letter_url: str
    """Where messages go that no webhook took."""
    webhook_private_hosts: tuple[str, ...] = ()
    """Names, addresses or CIDRs of webhooks that need not be public, any port."""
    webhook_timeout: Duration = Field(default=timedelta(seconds=15), ge=_SOON)
    """Of one request."""
    webhook_requests: int = Field(default=200, ge=1)
    """Messages of webhooks in hand at the same time."""
    webhook_host_requests: int = Field(default=4, ge=1)
    """Requests to one host at the same time; one, until it answers."""
    webhook_tries: int = Field(default=12, ge=1)
    """Tries of one event, before it goes to the dead letters."""
    webhook_first_retry: Duration = Field(default=timedelta(seconds=5), ge=_SOON)
    """Between the first two tries; each further pause is three times as long."""
    webhook_longest_retry: Duration = Field(default=timedelta(hours=24), ge=_SOON)
    """Between two tries at most."""
    webhook_fresh: Duration = Field(default=timedelta(seconds=5), ge=timedelta(0))
    """How late a new webhook may be known."""
    webhook_receive_wait: Duration = Field(
        default=timedelta(seconds=5), ge=timedelta(0), le=timedelta(seconds=20)
    )
    """Of a receive, for a first message."""

    @field_validator("webhook_private_hosts")
    @classmethod
    def _hosts_are_readable(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        AddressRules.read(hosts)
        return hosts
