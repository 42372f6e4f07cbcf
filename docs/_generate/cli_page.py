"""The page of commands, from the parsers themselves."""

from __future__ import annotations

from argparse import SUPPRESS, Action
from typing import Any

import typer
from typer.core import TyperGroup, TyperOption

from docs._generate.markdown import NOTICE, markdown, prose
from harness.cli.app import COMMANDS, app, load_command
from mock_server.__main__ import _parser


def commands() -> str:
    """Every command of `harness`, and the mock server's own."""
    group = parser()
    about = (
        "What each ends with: [exit codes](thresholds.md#exit-codes). `harness COMMAND --help` says the same.\n\n"
        "An option on the command line wins over its environment variable. A variable for an option that can be repeated holds its\n"
        "values separated by spaces (paths: by colons); one for an option without a value is `1` or `0`.\n\n"
        "`harness --install-completion` installs completion for the current shell; `harness --version` prints the version.\n"
    )
    parts = [f"{NOTICE}\n# Commands\n\n{prose(group.help or '')} {about}"]
    parts += [_command(f"harness {name}", command) for name, command in group.commands.items()]
    parts.append(_mock_server())
    return "\n".join(parts)


def parser() -> TyperGroup:
    """The parser of the `harness` command, with the real commands in place of those that are imported when invoked."""
    group = typer.main.get_command(app)
    if not isinstance(group, TyperGroup):
        raise TypeError(type(group))
    group.commands.update({name: load_command(name) for name in COMMANDS})
    return group


def _command(name: str, command: Any) -> str:
    context = command.context_class(command)
    usage = " ".join([name, *command.collect_usage_pieces(context)]).replace("{", "").replace("}", "")
    rows = [
        [f"`{record[0]}`", prose(record[1]), ", ".join(f"`{variable}`" for variable in _variables(one))]
        for one in command.params
        if (record := one.get_help_record(context)) is not None
    ]
    options = f"\n{markdown(['', 'what it is', 'environment'], rows)}" if rows else ""
    return f"## {name}\n\n{prose(command.help or '')}\n\n```text\n{usage}\n```\n{options}"


def _variables(parameter: Any) -> list[str]:
    return list(parameter.envvar or ()) if isinstance(parameter, TyperOption) else []


def _mock_server() -> str:
    parser = _parser()
    rows = [_action(action) for action in parser._actions if action.help != SUPPRESS]  # noqa: SLF001 - argparse has no other way to list them
    about = prose((parser.description or "").strip())
    return f"## python -m mock_server\n\n{about}\n\n{markdown(['', 'what it is'], rows)}"


def _action(action: Action) -> list[str]:
    metavar = "" if action.nargs == 0 else f" {action.metavar or action.dest.upper()}"
    return [f"`{', '.join(action.option_strings)}{metavar}`", prose((action.help or "") % {"default": action.default})]
