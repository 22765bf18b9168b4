"""`two-tower recommend`."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import sys
from pathlib import Path

import click
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from pipeline.cli.console import PlainConsole
from pipeline.cli.options import json_option, workspace_option
from pipeline.cli.tables import echo, print_json, print_table
from pipeline.runs.workspace import Workspace
from pipeline.serving.client import ModelInfo, PushedModel, Recommendation


@click.command()
@click.option("--user", metavar="ID", help="A user of the data that was trained on.")
@click.option(
    "--history",
    metavar="ID,ID,...",
    help="Movies that somebody unknown has watched, oldest first.",
)
@click.option("-k", type=int, default=10, show_default=True, help="Number of movies.")
@json_option
@workspace_option
def recommend(
    user: str | None, history: str | None, k: int, as_json: bool, workspace: Path
) -> None:
    """Ask the newest pushed model what a user should watch next.

    \b
    Examples:
      two-tower recommend --user 42
      two-tower recommend --user 42 -k 50 --json | jq '.recommendations[].title'
      two-tower recommend --history 50,172,181     for somebody the model never saw

    Movies that the user has rated, or that --history names, are left out.
    """
    if (user is None) == (history is None):
        raise click.UsageError("Give either --user or --history.")
    movie_ids = [part.strip() for part in (history or "").split(",") if part.strip()]
    if history is not None and not movie_ids:
        raise click.UsageError("--history names no movie.")
    info = ModelInfo.read(Workspace.open(workspace).live_model())
    info.check_k(k)
    found = _ask(info, user, movie_ids, k)
    if as_json:
        content = {
            "model": str(info.path),
            "user": user,
            "history": movie_ids or None,
            "recommendations": [dataclasses.asdict(movie) for movie in found],
        }
        print_json(content)
    else:
        _print_table(info, found, k)


def _ask(
    info: ModelInfo, user: str | None, movie_ids: list[str], k: int
) -> list[Recommendation]:
    """Loads the model and asks it, with a spinner on the terminal meanwhile."""
    spinner = Spinner("dots", "starting TensorFlow and loading the model ...")
    # Libraries print to `sys.stderr`, too.
    log = click.get_current_context().obj or io.StringIO()
    with (
        Live(
            spinner,
            console=PlainConsole(file=sys.stderr),
            transient=True,
            # Else it would show what is written to `sys.stderr`.
            redirect_stdout=False,
            redirect_stderr=False,
        ),
        contextlib.redirect_stderr(log),
    ):
        model = PushedModel(info)
        if user is not None:
            return model.for_user(user, k)
        return model.for_history(movie_ids, k)


def _print_table(info: ModelInfo, found: list[Recommendation], k: int) -> None:
    print_table(
        ("rank>", "movie>", "title", "genres", "score>"),
        [
            (
                str(movie.rank),
                movie.movie_id,
                Text(movie.title, "bold"),
                movie.genres,
                f"{movie.score:.3f}",
            )
            for movie in found
        ],
    )
    if len(found) < k:
        echo(f"Only {len(found)} movies are left that were not watched.")
    echo(f"Model: {info.path}", dim=True)
