"""Finds the files to read: those of one folder, or of a window of spans.

TFX's resolvers would not do: they know a single span, and Kubeflow's runner refuses
those that know more. Done here, it works the same on every runner.
"""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.movielens_example_gen.config import ExampleGenConfig
from components.movielens_example_gen.inputs import editions, span_folders
from components.movielens_example_gen.inputs.editions import FolderFiles
from components.movielens_example_gen.inputs.span_folders import SpanFolder
from trainer.errors import UserError

_CHUNK_BYTES: Final = 1 << 22
_DIGEST_BYTES: Final = 16


@dataclass(frozen=True)
class SpanFiles:
    """The files of one span.

    Attributes:
      span: Its number; 0 if the folder has no spans.
      files: The files in its folder.
      version: The newest version within the span; None if the span has no versions.
      in_window: Whether its ratings are trained on. Those of older spans are read, too:
        they are what users have seen.
      missing_before: Names of the spans that are missing before this one, if
        `missing_spans` allows that; "" for none.
    """

    span: int
    files: FolderFiles
    version: int | None = None
    in_window: bool = True
    missing_before: str = ""


def content_fingerprint(base: Path | str, config: ExampleGenConfig) -> str:
    """Returns a digest of every file that `MovieLensExampleGen` would read.

    TFX's own fingerprint is made of the sizes and modification times of one span. This
    one is made of the contents of all spans of the window: equal contents are a cache
    hit.

    Args:
      base: The folder that the component gets as `input_base`.
      config: What it gets as `data_config`.

    Returns:
      32 hexadecimal digits.

    Raises:
      UserError: A folder, file or span is missing.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for span in resolve(Path(base), config):
        files = span.files
        for path in (*files.ratings, *files.movies, *files.users):
            size = path.stat().st_size
            digest.update(f"{span.span}\n{path.name}\n{size}\n".encode())
            with open(path, "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
    return digest.hexdigest()


def resolve(base: Path, config: ExampleGenConfig) -> tuple[SpanFiles, ...]:
    """Finds the files that the configuration asks for.

    Spans before the window are found, too, since what users have seen does not depend
    on what a model is trained on. Movies and users are also read from the folder that
    holds the spans, but no ratings.

    Args:
      base: The folder of an edition, or of spans.
      config: What to read.

    Returns:
      The files, oldest span first. The last is the newest span of the window.

    Raises:
      UserError: A folder, file or span is missing.
    """
    if not base.is_dir():
        raise UserError(
            f"{base} is not a folder",
            "Give the folder with the MovieLens files, or run `two-tower data fetch`.",
        )
    top = editions.find_files(base)
    pattern, folders = find_spans(base, config)
    if top is not None and top.ratings and (folders or config.span_pattern is None):
        _check_one_source(base, top.ratings[0], folders)
        _check_no_span_requested(base, config)
        found = [SpanFiles(0, top)]
        _check_complete(base, found)
        return tuple(found)
    if not folders:
        if top is not None:
            _check_complete(base, [SpanFiles(0, top)])
        raise UserError(
            f"{base} holds no MovieLens files and no spans",
            f"Looked for {editions.EXPECTED_FILES}; {' and '.join(_patterns(config))}.",
        )
    return _window(top, folders, pattern, config)


def _check_one_source(base: Path, ratings: Path, folders: list[SpanFolder]) -> None:
    """Which of the two is newer, or holds the other, is not for a reader to guess."""
    if folders:
        raise UserError(
            f"{base} holds ratings twice: in {ratings.name} and in the span "
            f"{folders[0].path.relative_to(base)}",
            f"Move {ratings.name} into a span's folder, or move the spans elsewhere.",
        )


def _check_no_span_requested(base: Path, config: ExampleGenConfig) -> None:
    """One folder has no date: ignoring a schedule's would train on old data again."""
    for name in ("first_span", "last_span", "span_window"):
        value = getattr(config, name)
        if value is not None:
            raise UserError(
                f"data.{name} is {value}, but {base} holds one set of files, no spans",
                f"Put the files into span folders ({' or '.join(_patterns(config))}), "
                f"or remove data.{name}.",
            )


def _patterns(config: ExampleGenConfig) -> tuple[str, ...]:
    if config.span_pattern is None:
        return (span_folders.NUMBERED, span_folders.DATED)
    return (config.span_pattern,)


def find_spans(base: Path, config: ExampleGenConfig) -> tuple[str, list[SpanFolder]]:
    """Finds the folders of all spans.

    Args:
      base: The folder that holds them.
      config: May name their pattern.

    Returns:
      The pattern, recognised unless it is configured, and the newest version of each
      span, oldest span first.

    Raises:
      UserError: The folders' names are not of one pattern, or not valid.
    """
    if config.span_pattern is not None:
        return config.span_pattern, span_folders.find(base, config.span_pattern)
    chosen, folders = "", list[SpanFolder]()
    for pattern in span_folders.KNOWN_PATTERNS:
        found = span_folders.find(base, pattern)
        if not folders:
            chosen, folders = pattern, found
            continue
        # A folder with versions matches the pattern without versions, too.
        known = {path for f in folders for path in (f.path, *f.path.parents)}
        if others := [folder.path for folder in found if folder.path not in known]:
            names = [path.relative_to(base) for path in (folders[0].path, others[0])]
            raise UserError(
                f"{base} holds spans under two patterns: {names[0]} and {names[1]}",
                "Name all spans alike, or set data.span_pattern to those to read.",
            )
    if folders:
        return chosen, folders
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
    chosen = span_folders.choose(
        folders,
        pattern,
        first,
        last,
        config.span_window,
        skip_missing=config.missing_spans == "skip",
    )
    missing = span_folders.missing_before(chosen, pattern)
    found = [] if top is None else [SpanFiles(-1, top, in_window=False)]
    for folder in folders:
        if folder.span > chosen[-1].span:
            break
        files = editions.find_files(folder.path)
        in_window = folder in chosen
        if in_window and (files is None or not files.ratings):
            raise UserError(
                f"{folder.path} holds no ratings",
                f"Add the file ({editions.EXPECTED_FILES}), or remove the folder.",
            )
        if files is not None:
            span = SpanFiles(
                folder.span,
                files,
                folder.version,
                in_window=in_window,
                missing_before=missing.get(folder.span, ""),
            )
            found.append(span)
    _check_complete(folders[0].path.parent, found)
    editions_files = editions.of_one_edition([span.files for span in found])
    return tuple(
        dataclasses.replace(span, files=files)
        for span, files in zip(found, editions_files, strict=True)
    )


def warn_of_missing(spans: Sequence[SpanFiles]) -> None:
    """Logs which spans are missing, as the configuration allows."""
    for span in spans:
        if span.missing_before:
            logging.warning("Missing, skipped as configured: %s", span.missing_before)


def _check_complete(base: Path, found: Sequence[SpanFiles]) -> None:
    family = found[-1].files.family
    for has_files, patterns in (
        (any(span.files.ratings for span in found), family.ratings),
        (any(span.files.movies for span in found), family.movies),
    ):
        if not has_files:
            raise UserError(
                f"{base} has no {' or '.join(patterns)}",
                f"Add the missing file: the format is {family.name}.",
            )
