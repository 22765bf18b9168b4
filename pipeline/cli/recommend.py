"""`two-tower recommend`."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import sys
from collections.abc import Callable
from pathlib import Path

import click
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from pipeline.cli.console import PlainConsole
from pipeline.cli.options import filter_options, json_option, workspace_option
from pipeline.cli.tables import echo, print_json, print_table
from pipeline.runs.workspace import Workspace
from pipeline.serving.client import (
    Model,
    ModelInfo,
    PushedModel,
    Recommendation,
    Wishes,
)
from pipeline.serving.rest_client import ServedModel
from pipeline.serving.running_server import DEFAULT_MODEL_NAME, find

_Answer = tuple[str, list[Recommendation]]


@click.command()
@click.option("--user", metavar="ID", help="A user of the data that was trained on.")
@click.option(
    "--history",
    metavar="ID,ID,...",
    help="Movies that somebody unknown has watched, oldest first.",
)
@click.option("-k", type=int, default=10, show_default=True, help="Number of movies.")
@filter_options
@click.option("--exclude", metavar="ID,ID,...", help="Movies not to recommend.")
@click.option(
    "--server",
    metavar="URL",
    help="Ask this model server.  [default: the `two-tower serve` of the workspace, if "
    "it runs]",
)
@json_option
@workspace_option
def recommend(
    *,
    user: str | None,
    history: str | None,
    k: int,
    genres: tuple[str, ...],
    from_year: int | None,
    to_year: int | None,
    diversity: float,
    exclude: str | None,
    server: str | None,
    as_json: bool,
    workspace: Path,
) -> None:
    """Ask the newest pushed model what a user should watch next.

    A server that runs is asked, which takes a second; else the model is loaded.

    \b
    Examples:
      two-tower recommend --user 42
      two-tower recommend --user 42 --genre Comedy --from-year 1990
      two-tower recommend --user 42 -k 50 --json | jq '.recommendations[].title'
      two-tower recommend --history 50,172,181     for somebody the model never saw

    Movies that the user has rated, or that --history names, are left out.
    """
    if (user is None) == (history is None):
        raise click.UsageError("Give either --user or --history.")
    movie_ids = _ids(history)
    if history is not None and not movie_ids:
        raise click.UsageError("--history names no movie.")
    if from_year and to_year and from_year > to_year:
        raise click.UsageError(f"--from-year {from_year} is after --to-year {to_year}.")
    wishes = Wishes(
        *(genres, from_year or 0, to_year or 0, tuple(_ids(exclude))),
        diversity=diversity,
    )
    ask = functools.partial(_ask, user, movie_ids, k, wishes)
    if server is not None:
        name, found = ask(ServedModel(server, DEFAULT_MODEL_NAME))
    else:
        name, found = _ask_workspace(Workspace.open(workspace), k, ask)
    if as_json:
        content = {
            "model": name,
            "user": user,
            "history": movie_ids or None,
            "recommendations": [dataclasses.asdict(movie) for movie in found],
        }
        print_json(content)
    else:
        _print_table(name, found, k)


def _ids(text: str | None) -> list[str]:
    return [part.strip() for part in (text or "").split(",") if part.strip()]


def _ask(
    user: str | None, movie_ids: list[str], k: int, wishes: Wishes, model: Model
) -> tuple[str, list[Recommendation]]:
    """Returns the name of a model, and its answer."""
    if user is not None:
        found = model.for_user(user, k, wishes)
    else:
        found = model.for_history(movie_ids, k, wishes)
    return model.name, found


def _ask_workspace(
    workspace: Workspace, k: int, ask: Callable[[Model], _Answer]
) -> _Answer:
    """Asks the server of a workspace, or loads its model, with a spinner meanwhile."""
    info = ModelInfo.read(workspace.live_model())
    info.check_k(k)
    if running := find(workspace.root):
        served = ServedModel(running.url, running.model, info)
        if served.is_there():
            return ask(served)
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
        return ask(PushedModel(info))


def _print_table(name: str, found: list[Recommendation], k: int) -> None:
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
    echo(f"Model: {name}", dim=True)
