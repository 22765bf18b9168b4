"""`two-tower doctor`."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Final

import click
from rich.text import Text

from pipeline.cli.options import (
    ConfigOptions,
    engine_options,
    json_option,
    workspace_option,
)
from pipeline.cli.tables import print_json, print_table
from pipeline.local.doctor import examine

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}


@click.command()
@engine_options
@workspace_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, *, options: ConfigOptions, workspace: Path, as_json: bool
) -> None:
    """Check versions, data, memory and disk; the exit code is 1 if a check fails.

    With --config or --engine also the engine that these name: whether the cluster
    answers, has a version that Beam supports and free slots; and, by a job of a second,
    whether real workers have the same Python, Beam and code as this machine, and share
    its folders.

    \b
    Examples:
      two-tower doctor
      two-tower doctor --config flink.yaml
      two-tower doctor --json | jq '.checks[] | select(.state != "ok")'
    """
    engine = options.load().engine
    checks = examine(workspace)
    if engine.runner != "local":
        from pipeline.engines.doctor import examine as examine_engine

        checks += examine_engine(engine, workspace)
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
