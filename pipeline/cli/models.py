"""`two-tower models`."""

from __future__ import annotations

import dataclasses
import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.data_cell import data_cell
from pipeline.cli.options import json_option, serving_dir_option, workspace_option
from pipeline.cli.tables import echo, number, print_json, print_table
from pipeline.runs.workspace import Workspace

if TYPE_CHECKING:
    from pipeline.runs.run_record import RunRecord
    from pipeline.runs.served_versions import ServedVersion

_COLUMNS: Final = (
    *("version", "state", "hit_rate@10>", "ndcg@10>", "blessed", "data"),
    *("MB>", "pushed", "age>"),
)
_METRICS: Final = ("hit_rate@10", "ndcg@10")
_MANY: Final = 5  # versions that a server loads
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


@click.command()
@serving_dir_option
@json_option
@workspace_option
def models(serving_dir: str | None, as_json: bool, workspace: Path) -> None:
    """List the pushed models: labels, metrics, data, size and age of each version.

    The version labelled `stable` is live; `canary` is tried beside it. Metrics are
    those of the run that pushed the version, on its own held-out events: versions that
    were trained on other data are not comparable by them. With --serving-dir they are
    not known.

    \b
    Examples:
      two-tower models
      two-tower models --json | jq -r '.models[] | select(.state == "live") | .version'
    """
    from pipeline.runs.served_versions import served_versions

    runs: list[RunRecord] = []
    if serving_dir is None:
        opened = Workspace.open(workspace)
        serving_dir, runs = str(opened.serving_dir), _runs(opened.root)
    labels, found = served_versions(serving_dir, runs)
    waiting = [run.run_id for run in runs if run.awaits_approval]
    if as_json:
        content: dict[str, Any] = {"serving_dir": serving_dir, "live": labels.stable}
        content |= {"canary": labels.canary, "pinned": labels.pinned}
        rows = [_as_json(each) for each in found]
        more = {"awaiting_approval": waiting, "faults": list(labels.faults)}
        print_json({**content, "models": rows, **more})
        return
    if found:
        print_table(_COLUMNS, map(_cells, found))
    else:
        echo(f"No model was pushed to {serving_dir} yet.")
    for run_id in waiting:
        echo(f"Awaiting approval: `two-tower approve {run_id}`")
    for fault in labels.faults:
        echo(f"Warning: {fault}", err=True)
    served = [each for each in found if each.state != "withdrawn"]
    if labels.exist and len(served) > _MANY:
        echo(
            f"TensorFlow Serving loads all {len(served)}: `two-tower clean --versions "
            "3` removes the oldest.",
            dim=True,
        )


def _runs(root: Path) -> list[RunRecord]:
    """The runs of a workspace, which may have none yet."""
    from pipeline.runs.metadata_store import MetadataStoreReader, NoRunError

    try:
        return list(MetadataStoreReader.open(root).runs())
    except NoRunError:
        return []


def _as_json(each: ServedVersion) -> dict[str, Any]:
    content = dataclasses.asdict(each)
    age = each.age_seconds(datetime.datetime.now(datetime.timezone.utc))
    return {**content, "age_seconds": None if age is None else round(age)}


def _cells(each: ServedVersion) -> list[str]:
    blessed = {True: "yes", False: "no"}
    return [
        each.version,
        f"{each.state}, pinned" if each.pinned else each.state,
        *(number(each.metrics.get(name)) for name in _METRICS),
        "-" if each.blessed is None else blessed[each.blessed],
        data_cell(each.data, each.spans),
        "-" if each.size is None else f"{each.size / 2**20:.1f}",
        (each.pushed_at or "-")[:16].replace("T", " "),
        _age(each),
    ]


def _age(each: ServedVersion) -> str:
    seconds = each.age_seconds(datetime.datetime.now(datetime.timezone.utc))
    if seconds is None:
        return "-"
    size, unit = next((u for u in _UNITS if seconds >= u[0]), _UNITS[-1])
    return f"{max(seconds, 0) / size:.0f} {unit}"
