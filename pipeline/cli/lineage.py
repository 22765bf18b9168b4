"""`two-tower lineage`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import print_table

if TYPE_CHECKING:
    from pipeline.runs.metadata_store import History
    from pipeline.runs.run_record import Step

# Of all parameters, those that say what a step was made of.
_TOLD: Final = (
    *("dataset", "split", "spans", "read", "content_fingerprint", "schema_digest"),
    *("title_tokens", "embedding_dim", "loss", "epochs", "learning_rate", "code_hash"),
)


@click.command()
@click.argument("version")
@json_option
@workspace_option
def lineage(version: str, as_json: bool, workspace: Path) -> None:
    """Show what a pushed model was made of: data, schema, code, settings and runs.

    VERSION is the name of its folder in the serving directory.

    \b
    Examples:
      two-tower lineage 1795583486
      two-tower lineage 1795583486 --json | jq '.steps[].artifacts'
    """
    from pipeline.runs.metadata_store import History
    from pipeline.runs.workspace import Workspace

    history = History(Workspace.open(workspace))
    upstream = list(history.upstream(version))
    tuned = _tuned(upstream)
    steps = [_row(step, history, tuned) for step in upstream]
    if as_json:
        click.echo(json.dumps({"version": version, "steps": steps}, indent=2))
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


def _tuned(steps: Sequence[Step]) -> dict[str, Any]:
    """What a Tuner chose in place of the Trainer's own settings."""
    found: dict[str, Any] = {}
    for step in steps:
        if "best_hyperparameters" in step.outputs:
            found |= _summaries(step)
    return {name: found[name] for name in _TOLD if name in found}


def _row(step: Step, history: History, tuned: Mapping[str, Any]) -> dict[str, Any]:
    made_of = _made_of(step)
    if "model_run" in step.outputs:
        made_of |= tuned
    return {
        "step": step.id,
        "runs": history.runs_with(step),
        "made_of": made_of,
        "artifacts": {key: a.output.uri for key, a in step.outputs.items()},
    }


def _made_of(step: Step) -> dict[str, Any]:
    """What is known of the data, settings and code of a step."""
    found = dict(_leaves(step.parameters)) | _summaries(step)
    return {name: found[name] for name in _TOLD if found.get(name) is not None}


def _summaries(step: Step) -> dict[str, Any]:
    """What the artifacts of a step say of themselves."""
    found: dict[str, Any] = {}
    for artifact in step.outputs.values():
        found |= _leaves({"summary": artifact.output.properties.get("summary")})
    return found


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yields names and values, also those inside of JSON in a string."""
    for name, value in values.items():
        inner = value
        if isinstance(value, str) and value.startswith("{"):
            with contextlib.suppress(ValueError):  # a pattern such as {YYYY}-{MM}-{DD}
                inner = json.loads(value)
        if isinstance(inner, Mapping):
            yield from _leaves(inner)
        else:
            yield name, value
