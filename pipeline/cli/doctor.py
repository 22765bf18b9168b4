"""`two-tower doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import print_json, print_table
from pipeline.local.doctor import examine

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@workspace_option
@json_option
@click.pass_context
def doctor(ctx: click.Context, workspace: Path, as_json: bool) -> None:
    """Check versions, data, memory and disk; the exit code is 1 if a check fails.

    \b
    Examples:
      two-tower doctor
      two-tower doctor --json | jq '.checks[] | select(.state != "ok")'
    """
    checks = examine(workspace)
    if as_json:
        print_json({"checks": [dataclasses.asdict(check) for check in checks]})
    else:
        rows = [
            (
                Text(check.state, _COLOURS[check.state]),
                check.name,
                f"{check.value}\n{check.remedy}" if check.remedy else check.value,
            )
            for check in checks
        ]
        print_table(("state", "check", "value"), rows, header=False)
    ctx.exit(int(any(check.state == "fail" for check in checks)))
