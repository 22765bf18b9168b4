"""`two-tower lineage`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import click

from components.movielens_example_gen.data_summary import SUMMARY_PROPERTY
from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import print_json, print_table
from pipeline.runs.metadata_store import MetadataStoreReader
from pipeline.runs.run_record import Step

# The parameters that identify the data, settings and code of a step.
_SHOWN: Final = (
    *("dataset", "split", "spans", "read", "content_fingerprint", "schema_digest"),
    *("title_tokens", "embedding_dim", "loss", "epochs", "learning_rate", "code_hash"),
)


@click.command()
@click.argument("version")
@json_option
@workspace_option
def lineage(version: str, as_json: bool, workspace: Path) -> None:
    """Show the data, schema, code, settings and runs that a pushed model came from.

    VERSION is the name of its folder in the serving directory.

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
    if as_json:
        print_json({"version": version, "steps": steps})
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
