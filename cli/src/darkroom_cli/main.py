"""The `darkroom` command."""

from __future__ import annotations

import typer

from darkroom_cli.commands import (
    config,
    console,
    cost,
    demo,
    dlq,
    keys,
    models,
    models_get,
    runtime,
    stack,
    submit,
    tasks,
    usage,
    verify,
    webhooks,
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Requests for images in, images in S3 and a callback out.",
    epilog="Try it: `darkroom demo`. Keep it running: `darkroom up`. Exit status: 0 done,"
    " 1 failed or refused, 2 no such option, 3 the stack cannot be reached.",
)
HERE = "On this machine"
APPLICATION = "For those who want images"
OPERATOR = "For those who run a stack"
DEPLOYER = "For those who deploy one"

app.command(rich_help_panel=HERE)(demo.demo)
app.command(rich_help_panel=HERE)(stack.up)
app.command(rich_help_panel=APPLICATION)(submit.submit)
app.command(rich_help_panel=APPLICATION)(tasks.status)
app.command(rich_help_panel=APPLICATION)(tasks.tasks)
app.command(rich_help_panel=APPLICATION)(tasks.watch)
app.command(rich_help_panel=APPLICATION)(tasks.cancel)
app.command(rich_help_panel=OPERATOR)(console.console)
app.command(rich_help_panel=OPERATOR)(verify.verify)
app.command(rich_help_panel=OPERATOR)(usage.usage)

keys_app = typer.Typer(no_args_is_help=True, help="Who may use the stack on this machine.")
keys_app.command("create")(keys.keys_create)
keys_app.command("list")(keys.keys_list)
keys_app.command("revoke")(keys.keys_revoke)
keys_app.command("rotate")(keys.keys_rotate)
app.add_typer(keys_app, name="keys", rich_help_panel=OPERATOR)

models_app = typer.Typer(no_args_is_help=True, help="The models of a stack.")
models_app.command("add")(models.models_add)
models_app.command("get")(models_get.models_get)
models_app.command("list")(models.models_list)
app.add_typer(models_app, name="models", rich_help_panel=OPERATOR)

runtime_app = typer.Typer(
    no_args_is_help=True, help="Servers that make real images, installed."
)
runtime_app.command("install")(runtime.runtime_install)
runtime_app.command("list")(runtime.runtime_list)
runtime_app.command("remove")(runtime.runtime_remove)
app.add_typer(runtime_app, name="runtime", rich_help_panel=HERE)

dlq_app = typer.Typer(no_args_is_help=True, help="Messages that were given up.")
dlq_app.command("list")(dlq.dlq_list)
dlq_app.command("show")(dlq.dlq_show)
dlq_app.command("redrive")(dlq.dlq_redrive)
dlq_app.command("purge")(dlq.dlq_purge)
app.add_typer(dlq_app, name="dlq", rich_help_panel=OPERATOR)

webhooks_app = typer.Typer(no_args_is_help=True, help="Who is told of the end of tasks.")
webhooks_app.command("add")(webhooks.webhooks_add)
webhooks_app.command("list")(webhooks.webhooks_list)
webhooks_app.command("remove")(webhooks.webhooks_remove)
webhooks_app.command("rotate")(webhooks.webhooks_rotate)
webhooks_app.command("test")(webhooks.webhooks_test)
webhooks_app.command("replay")(webhooks.webhooks_replay)
webhooks_app.command("deliveries")(webhooks.webhooks_deliveries)
app.add_typer(webhooks_app, name="webhooks", rich_help_panel=OPERATOR)

app.command(rich_help_panel=DEPLOYER)(config.init)
config_app = typer.Typer(no_args_is_help=True, help="The file that the playbooks deploy.")
config_app.command("check")(config.config_check)
config_app.command("reference")(config.config_reference)
config_app.command("schema")(config.config_schema)
app.add_typer(config_app, name="config", rich_help_panel=DEPLOYER)
app.command(rich_help_panel=DEPLOYER)(cost.cost)


def main() -> None:
    """Run the command."""
    app(prog_name="darkroom")


if __name__ == "__main__":
    main()
