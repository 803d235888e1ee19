"""The console as a process beside a stack that runs here."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from darkroom_console.serving import console
from servicekit.lifecycle import stop_on_signals
from servicekit.service import run_service
from servicekit.settings import InputFile, ServiceSettings


class Settings(ServiceSettings):
    """What the console must know."""

    model_config = SettingsConfigDict(env_prefix="CONSOLE_")

    endpoint: str
    """URL of the REST API."""
    api_key_file: InputFile
    """File of the API key."""
    port: int = Field(default=8090, ge=1, le=65535)
    """Port of 127.0.0.1."""


async def serve(settings: Settings) -> None:
    """Run until told to stop."""
    key = settings.api_key_file.read_text().strip()
    with stop_on_signals() as stop:
        async with console(settings.endpoint, key, settings.port, trust_env=False):
            await stop.wait()


def main() -> None:
    """Run the console as a process."""
    run_service("console", Settings, serve, "Pages that show a stack of Darkroom.")


if __name__ == "__main__":
    main()
