"""`two-tower export-embeddings`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from pipeline.cli.options import (
    json_option,
    serving_dir_option,
    serving_folder,
    workspace_option,
)
from pipeline.cli.tables import echo, print_json
from pipeline.cli.work_line import work_line


@click.command("export-embeddings")
@click.option(
    "--out",
    "-o",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="New folder for movies.parquet.",
)
@click.option(
    "--queries", is_flag=True, help="Also users.parquet: all users with a timeline."
)
@click.option("--version", metavar="VERSION", help="Of the model.  [default: live]")
@serving_dir_option
@json_option
@workspace_option
def export_embeddings(
    *,
    out: Path,
    queries: bool,
    version: str | None,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Export ids and embeddings of a pushed model to Parquet, for other indexes.

    The dot product of two embeddings is the model's score: docs/serving-operations.md
    has recipes for FAISS, ScaNN and vector stores.

    \b
    Examples:
      two-tower export-embeddings --out embeddings
      two-tower export-embeddings --out embeddings --queries --version 1795623576
    """
    from pipeline.serving.batch import choice

    directory = serving_folder(serving_dir, workspace)
    if version is None:
        model = choice.live_model(directory)
    else:
        model = choice.model_of_version(directory, version)
    with work_line("starting TensorFlow and loading the model ..."):
        from pipeline.serving import embeddings

        done = embeddings.export_embeddings(model.info, out, queries=queries)
    if as_json:
        content = dataclasses.asdict(done) | {"folder": str(out), "model": model.path}
        print_json(content)
        return
    echo(f"{done.movies:,} movies, {done.dim} wide: {out / embeddings.MOVIES_FILE}")
    if done.users is not None:
        echo(f"{done.users:,} users: {out / embeddings.USERS_FILE}")
    echo(f"Model: {model.path}", dim=True)
