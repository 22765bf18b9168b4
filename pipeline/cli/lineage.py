"""`two-tower lineage`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from components.movielens_example_gen.data_summary import SUMMARY_PROPERTY
from components.serving_directory import audit
from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import echo, print_json, print_table
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import Step
from pipeline.runs.served_models import ServedModels
from pipeline.runs.workspace import Workspace

# The parameters that identify the data, settings and code of a step.
_SHOWN: Final = (
    *("dataset", "split", "spans", "read", "content_fingerprint", "schema_digest"),
    *("title_tokens", "embedding_dim", "loss", "epochs", "learning_rate", "code_hash"),
)
# Of `components.serving_directory.audit.Action`.
_DONE: Final = {
    "push": "pushed",
    "approve": "approved and pushed",
    "promote": "promoted",
    "pin": "pinned",
    "unpin": "unpinned",
    "rollback": "withdrawn",
    "restore": "restored",
    "remove": "removed",
}


@click.command()
@click.argument("version")
@json_option
@workspace_option
def lineage(version: str, as_json: bool, workspace: Path) -> None:
    """Show the data, schema, code, settings and runs that a pushed model came from.

    VERSION is the name of its folder in the serving directory. Below the steps is what
    became of it: who approved, withdrew or restored it, when and why.

    \b
    Examples:
      two-tower lineage 1795583486
      two-tower lineage 1795583486 --json | jq '.steps[].artifacts'
    """
    reader = MetadataStoreReader.open(workspace)
    upstream = reader.upstream(version)
    # The settings that a Tuner chose: the Trainer used them in place of its own.
    tuned: dict[str, Any] = {}
    for step in upstream:
        if "best_hyperparameters" in step.outputs:
            tuned |= _artifact_summaries(step)
    steps: list[dict[str, Any]] = [
        {
            "step": step.id,
            "runs": reader.runs_with(step),
            "made_of": _made_of(step, tuned if "model_run" in step.outputs else {}),
            "artifacts": {key: a.uri for key, a in step.outputs.items()},
        }
        for step in upstream
    ]
    serving_dir = str(Workspace.open(workspace).serving_dir)
    state = ServedModels(serving_dir).state(version)
    moves = [m for m in audit.read(serving_dir) if version in m.get("versions", ())]
    if as_json:
        content = {"version": version, "state": state, "moves": moves}
        print_json({**content, "steps": steps})
        return
    print_table(
        ("step", "run", "made of", "artifact"),
        [
            (
                step["step"],
                ", ".join(step["runs"]),
                "\n".join(f"{name} {value}" for name, value in step["made_of"].items()),
                "\n".join(step["artifacts"].values()),
            )
            for step in steps
        ],
    )
    echo(f"\nVersion {version}: {state}")
    for move in moves:
        echo(_describe(move))


def _describe(move: Mapping[str, Any]) -> str:
    """A line of the audit, in words."""
    done = _DONE.get(str(move.get("action")), str(move.get("action")))
    if move.get("label") == "canary":
        done += " as canary"
    when = str(move.get("at"))[:19].replace("T", " ")
    text = f"  {done} {when} UTC by {move.get('by')}"
    return f"{text}: {move['reason']}" if move.get("reason") else text


def _made_of(step: Step, tuned: Mapping[str, Any]) -> dict[str, Any]:
    """Data, settings and code that the result of a step depends on."""
    found = {**dict(_leaves(step.parameters)), **_artifact_summaries(step), **tuned}
    return {name: found[name] for name in _SHOWN if found.get(name) is not None}


def _artifact_summaries(step: Step) -> dict[str, Any]:
    """Names and values of the property `summary` of a step's artifacts."""
    found: dict[str, Any] = {}
    for artifact in step.outputs.values():
        found |= _leaves({"summary": artifact.properties.get(SUMMARY_PROPERTY)})
    return found


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields names and values, also those in strings that hold a JSON object."""
    for name, value in values.items():
        inner = value
        if isinstance(value, str) and value.startswith("{"):
            with contextlib.suppress(ValueError):  # a pattern such as {YYYY}-{MM}-{DD}
                inner = json.loads(value)
        if isinstance(inner, Mapping):
            yield from _leaves(inner)
        else:
            yield name, value
