"""Which files are read: those of one folder, or of a window of spans.

This is done here and not by TFX's resolvers, which know one span only and which
Kubeflow's runner refuses: so it works alike on every runner.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from components.movielens_example_gen import editions, span_folders
from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.editions import FolderFiles
from components.movielens_example_gen.reader import SpanFiles
from components.movielens_example_gen.span_folders import SpanFolder
from trainer.errors import UserError


def resolve(base: Path, config: ExampleGenConfig) -> tuple[SpanFiles, ...]:
    """Finds the files that the configuration asks for.

    Movies and users are also taken from the folder of the spans itself and from spans
    before the window, since a rating in the window may be of a movie that only an older
    file lists.

    Args:
      base: The folder of an edition, or of spans.
      config: What to read.

    Returns:
      The files, oldest span first. The last is the newest span of the window; those
      before the window have no ratings.

    Raises:
      UserError: A folder, file or span is missing.
    """
    if not base.is_dir():
        raise UserError(
            f"{base} is not a folder",
            "Give the folder with the MovieLens files, or run `two-tower data fetch`.",
        )
    top = editions.find_files(base)
    if config.span_pattern is None and top is not None and top.ratings:
        _check_no_span_is_asked_for(base, config)
        _check_complete(base, top.ratings, top.movies, top)
        return (SpanFiles(0, top),)
    pattern, folders = _find_spans(base, config)
    if not folders:
        if top is not None:
            _check_complete(base, top.ratings, top.movies, top)
        raise UserError(
            f"{base} holds no MovieLens files and no spans",
            f"Looked for {editions.expected_files()}; {' and '.join(_shown(config))}.",
        )
    return _window(top, folders, pattern, config)


def _check_no_span_is_asked_for(base: Path, config: ExampleGenConfig) -> None:
    """One folder has no date: a schedule's would be ignored, and old data read anew."""
    for name in ("first_span", "last_span", "span_window"):
        value = getattr(config, name)
        if value is not None:
            raise UserError(
                f"data.{name} is {value}, but {base} holds one set of files, no spans",
                f"Put them into folders ({' or '.join(_shown(config))}), or leave "
                f"data.{name} out.",
            )


def _shown(config: ExampleGenConfig) -> tuple[str, ...]:
    if config.span_pattern is None:
        return (span_folders.NUMBERED, span_folders.DATED)
    return (config.span_pattern,)


def _find_spans(base: Path, config: ExampleGenConfig) -> tuple[str, list[SpanFolder]]:
    """The pattern and its folders; the pattern is recognised unless it is given."""
    if config.span_pattern is not None:
        return config.span_pattern, span_folders.find(base, config.span_pattern)
    # A pattern with versions also matches by its part without, so the longer wins.
    for pattern in sorted(span_folders.KNOWN_PATTERNS, key=lambda p: -p.count("/")):
        folders = span_folders.find(base, pattern)
        if folders:
            return pattern, folders
    return span_folders.NUMBERED, []


def _window(
    top: FolderFiles | None,
    folders: list[SpanFolder],
    pattern: str,
    config: ExampleGenConfig,
) -> tuple[SpanFiles, ...]:
    first, last = (
        None if span is None else span_folders.span_number(span, pattern)
        for span in (config.first_span, config.last_span)
    )
    chosen = span_folders.choose(folders, pattern, first, last, config.span_window)
    found = [] if top is None else [SpanFiles(-1, top)]
    for folder in folders:
        if folder.span > chosen[-1].span:
            break
        files = editions.find_files(folder.path)
        if files is not None and folder.span < chosen[0].span:
            files = dataclasses.replace(files, ratings=())
        if folder in chosen and (files is None or not files.ratings):
            raise UserError(
                f"{folder.path} holds no ratings",
                f"Add the file ({editions.expected_files()}), or remove the folder.",
            )
        if files is not None:
            found.append(SpanFiles(folder.span, files, folder.version))
    _check_complete(
        folders[0].path.parent,
        [path for span in found for path in span.files.ratings],
        [path for span in found for path in span.files.movies],
        found[-1].files,
    )
    return tuple(found)


def _check_complete(
    base: Path,
    ratings: list[Path] | tuple[Path, ...],
    movies: list[Path] | tuple[Path, ...],
    files: FolderFiles,
) -> None:
    for found, patterns in (
        (ratings, files.family.ratings),
        (movies, files.family.movies),
    ):
        if not found:
            raise UserError(
                f"{base} has no {' or '.join(patterns)}",
                f"Add the missing file: the format is {files.family.name}.",
            )
