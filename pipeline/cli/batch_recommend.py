"""`two-tower batch-recommend`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli.options import (
    ConfigOptions,
    engine_options,
    filter_options,
    json_option,
    serving_dir_option,
    serving_folder,
    workspace_option,
)
from pipeline.cli.tables import echo, print_json, print_table
from pipeline.cli.work_line import work_line

if TYPE_CHECKING:
    from pipeline.engines.config import EngineConfig
    from pipeline.serving.batch.job import Model
    from pipeline.serving.batch.session import Request, Unknown


@click.command("batch-recommend")
@click.option(
    "--out",
    "-o",
    metavar="FOLDER",
    help="Where Parquet files are written; needed without --shadow.",
)
@click.option(
    "-k", type=int, default=10, show_default=True, help="Movies for each user."
)
@click.option(
    "--users",
    metavar="FILE|all",
    default="all",
    show_default=True,
    help="File with one user id a line, or all with a stored timeline.",
)
@click.option(
    "--unknown",
    type=click.Choice(["refuse", "answer", "skip"]),
    default="refuse",
    show_default=True,
    help="Users of the file whom the model does not know: refused with their lines, "
    "answered like new users, or left out.",
)
@filter_options
@click.option(
    "--exclude-file",
    type=click.Path(path_type=Path),
    help="File with movies that nobody gets, one id a line.",
)
@click.option("--include-seen", is_flag=True, help="Also what a user has watched.")
@click.option("--version", metavar="VERSION", help="Of the model.  [default: live]")
@click.option(
    "--label", metavar="LABEL", help="stable or canary, in place of --version."
)
@click.option(
    "--shadow",
    metavar="[CANDIDATE]",
    is_flag=False,
    flag_value="",
    help="Compare with a candidate, which is not served: a label, a version or the "
    "folder of a SavedModel; by default the canary, else the newest version.",
)
@click.option(
    "--shard-size",
    type=click.IntRange(1),
    default=5000,
    show_default=True,
    help="Users of a file.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=256,
    show_default=True,
    help="Users of a request to the model.",
)
@click.option(
    "--workers",
    type=click.IntRange(1, 256),
    default=1,
    show_default=True,
    help="Requests to the model at the same time.",
)
@click.option(
    "--beam-arg",
    "beam_args",
    metavar="ARGUMENT",
    multiple=True,
    help="For Apache Beam, after those of --engine; repeatable.",
)
@engine_options
@serving_dir_option
@json_option
@workspace_option
def batch_recommend(
    *,
    out: str | None,
    version: str | None,
    label: str | None,
    shadow: str | None,
    serving_dir: str | None,
    as_json: bool,
    workspace: Path,
    options: ConfigOptions,
    **given: Any,
) -> None:
    """Recommend to many users at once, to Parquet files.

    Each row has user_id, movie_ids and scores (best first), known, version and
    written_at. A command that was interrupted goes on where it was when it is repeated.
    _SUCCESS is written when all is there.

    With --shadow, a candidate is asked for the same users and the differences are
    reported: before a promotion, without serving it. --out then keeps both answers.

    \b
    Examples:
      two-tower batch-recommend --out recommendations
      two-tower batch-recommend --out children -k 20 --genre Children --to-year 1999
      two-tower batch-recommend --out some --users ids.txt --exclude-file withdrawn.txt
      two-tower batch-recommend --shadow                 the canary beside what is live
      two-tower batch-recommend --shadow 1795623576 --json
    """
    if version is not None and label is not None:
        raise click.UsageError("Give either --version or --label.")
    if out is None and shadow is None:
        raise click.UsageError("Give --out FOLDER.")
    directory = serving_folder(serving_dir, workspace)
    models = _models(directory, version, label, shadow)
    request = _request(models, engine=options.load().engine, **given)
    with work_line("starting TensorFlow and loading the model ..."):
        if shadow is None:
            from pipeline.serving.batch.session import run

            assert out is not None
            result = run(request, out)
        else:
            from pipeline.serving.batch.shadow import compare

            result = compare(request, out)
    if as_json:
        print_json(result if shadow is not None else {"folder": out, **result})
    elif shadow is not None:
        from pipeline.cli.shadow_tables import print_comparison

        print_comparison(result)
    else:
        _print_result(str(out), models[0].name, result)


def _models(
    directory: str, version: str | None, label: str | None, shadow: str | None
) -> tuple[Model, ...]:
    from pipeline.serving.batch import choice

    if version is not None:
        model = choice.model_of_version(directory, version)
    elif label is not None:
        model = choice.model_of_label(directory, label)
    else:
        model = choice.live_model(directory)
    if shadow is None:
        return (model,)
    return (model, choice.candidate_model(directory, shadow, model))


def _request(
    models: tuple[Model, ...],
    *,
    k: int,
    users: str,
    unknown: Unknown,
    genres: tuple[str, ...],
    from_year: int | None,
    to_year: int | None,
    diversity: float,
    exclude_file: Path | None,
    include_seen: bool,
    shard_size: int,
    batch_size: int,
    workers: int,
    beam_args: tuple[str, ...],
    engine: EngineConfig,
) -> Request:
    from pipeline.serving.batch.job import Filters
    from pipeline.serving.batch.session import Request

    request = Request(
        models,
        k=k,
        filters=Filters(
            genres=tuple(sorted(set(genres))),
            first_year=from_year or 0,
            last_year=to_year or 0,
            include_seen=include_seen,
            diversity=diversity,
        ),
        exclude_file=exclude_file,
        users_file=None if users == "all" else Path(users),
        unknown=unknown,
        shard_size=shard_size,
        batch_size=batch_size,
        workers=workers,
        beam_args=beam_args,
        engine=engine,
    )
    request.check()
    return request


def _print_result(out: str, model: str, result: dict[str, Any]) -> None:
    seconds, users = result["seconds"], result["users"]
    if not result["written"]:
        echo(f"{out} is complete: all {result['shards']:,} shards are there.")
    rows = [
        ("users", f"{users:,}"),
        ("movies", f"{result['movies']:,}"),
        ("shards", f"{result['shards']:,} ({result['written']:,} written now)"),
        ("seconds", f"{seconds:,.1f}"),
        ("model", model),
        ("folder", out),
    ]
    for name, label in (
        ("unknown_users", "unknown users"),
        ("users_without_movies", "users for whom no movie is left"),
    ):
        if result[name]:
            rows.insert(1, (label, f"{result[name]:,}"))
    print_table(("", ""), rows, header=False)
