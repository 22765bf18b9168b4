"""`two-tower doctor`."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import click

from pipeline.cli.options import workspace_option
from pipeline.local.doctor import Check, examine

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@workspace_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.pass_context
def doctor(ctx: click.Context, workspace: Path, as_json: bool) -> None:
    """Check versions, data, memory and disk; exits with 1 if a check fails.

    \b
    Examples:
      two-tower doctor
      two-tower doctor --json | jq '.checks[] | select(.state != "ok")'
    """
    checks = examine(workspace)
    if as_json:
        rows = [dataclasses.asdict(check) for check in checks]
        click.echo(json.dumps({"checks": rows}, indent=2))
    else:
        _print_table(checks)
    ctx.exit(int(any(check.state == "fail" for check in checks)))


def _print_table(checks: Sequence[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = click.style(f"{check.state:<4}", fg=_COLOURS[check.state])
        click.echo(f"{state}  {check.name:<{width}}  {check.value}")
        if check.remedy:
            click.echo(f"{'':<{width + 8}}{check.remedy}")
