"""`darkroom config` and `darkroom init`: the file that the playbooks deploy."""

from __future__ import annotations

import json
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom_cli.terminal import AsJson, fail, notes, out, show_json

if TYPE_CHECKING:
    from deployment.check import Checked
    from deployment.findings import Finding

Region = Annotated[
    str | None,
    typer.Option(
        envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
        help="Region of the stack, for what depends on it.",
        show_default=False,
    ),
]


class RuntimeKind(StrEnum):
    """The types of runtimes that a file may name."""

    SDWEBUI = "sdwebui"
    COMFYUI = "comfyui"
    INVOKEAI = "invokeai"


def config_check(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, readable=True)],
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print findings as JSON.")] = False,
) -> None:
    """Check a configuration file, one line for each finding; 1 is the status if it is wrong.

    Example: darkroom config check config.yaml --region us-west-2
    """
    from deployment.check import check
    from deployment.document import MAX_BYTES

    with file.open("rb") as opened:
        checked = check(opened.read(MAX_BYTES + 1), region)
    if as_json:
        findings = [finding.as_dict() for finding in checked.findings]
        typer.echo(json.dumps(findings, indent=2))
    else:
        _tell(checked, str(file))
    if checked.errors:
        raise SystemExit(1)


def config_schema() -> None:
    """Print the JSON Schema of the configuration file, for an editor to check it.

    Example: darkroom config schema > config.schema.json
    """
    from deployment import schema

    typer.echo(schema.text(), nl=False)


def config_reference() -> None:
    """Print what each key of the configuration file means.

    Example: darkroom config reference > docs/deploy/configuration.md
    """
    from deployment import reference

    typer.echo(reference.page(), nl=False)


def init(
    stack_name: Annotated[
        str, typer.Option("--stack-name", "-n", help="Begins the name of everything made.")
    ] = "sdoneks",
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            "-R",
            envvar=["AWS_REGION", "AWS_DEFAULT_REGION"],
            help="Where it will be deployed.",
            show_default=False,
        ),
    ] = None,
    bucket: Annotated[
        str | None,
        typer.Option("--bucket", "-b", help="Bucket of the models.", show_default="a new name"),
    ] = None,
    snapshot: Annotated[
        str | None,
        typer.Option("--snapshot", "-s", help="EBS snapshot with images.", show_default="none"),
    ] = None,
    runtime_name: Annotated[
        str, typer.Option("--runtime-name", "-r", help="What requests call the runtime.")
    ] = "sdruntime",
    runtime_type: Annotated[
        RuntimeKind, typer.Option("--runtime-type", "-t", help="What kind of server it is.")
    ] = RuntimeKind.SDWEBUI,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-d", help="Print the file instead.")
    ] = False,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file.")] = Path(
        "config.yaml"
    ),
    force: Annotated[bool, typer.Option(help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a configuration file to begin with.

    Example: darkroom init --stack-name art --region us-west-2 --runtime-type comfyui
    """
    from deployment import template
    from deployment.check import check

    wanted = template.Wanted(
        stack_name=stack_name,
        bucket=bucket or f"{stack_name.lower()}-models-{secrets.token_hex(4)}",
        region=region,
        snapshot=snapshot,
        runtime_name=runtime_name,
        runtime_type=runtime_type.value,
    )
    text = template.written(wanted)
    checked = check(text, region)
    if checked.errors:
        fail("\n".join(finding.text for finding in checked.errors))
    if not dry_run:
        _write(output, text, force=force)
    if as_json:
        facts = {"stack_name": stack_name, "bucket": wanted.bucket, "runtime": runtime_name}
        show_json({"file": None if dry_run else str(output), **facts, "text": text})
    elif dry_run:
        typer.echo(text, nl=False)
    else:
        out.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)


def _write(output: Path, text: str, *, force: bool) -> None:
    try:
        with output.open("w" if force else "x") as opened:
            opened.write(text)
    except FileExistsError:
        fail(f"{output} is there already: --force replaces it, --output names another")
    except OSError as error:
        fail(f"{output}: {error.strerror}")


def _tell(checked: Checked, file: str) -> None:
    for finding in checked.errors:
        out.print(_line(finding, file), markup=False, highlight=False, soft_wrap=True)
    for finding in checked.warnings:
        line = f"warning: {_line(finding, file)}"
        notes.print(line, markup=False, highlight=False, soft_wrap=True)
    if not checked.errors:
        out.print(f"{file} may be deployed", markup=False, highlight=False, soft_wrap=True)


def _line(finding: Finding, file: str) -> str:
    place = f"{file}:{finding.line}" if finding.line else file
    return f"{place}: {finding.text}"
