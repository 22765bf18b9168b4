"""Splits an edition into spans by its timestamps, to rehearse retraining.

Rows are copied unchanged, so that a span has the format of its edition. As a corpus
grows with time, a movie is listed in the span in which it is first rated; movies that
nobody rated are listed in the first span.
"""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import shutil
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from components.movielens_example_gen import ingest
from components.movielens_example_gen.inputs.editions import TIMESTAMP
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.movies_and_users import movie_rows
from components.movielens_example_gen.readers.rating_rows import Fault
from components.movielens_example_gen.readers.raw_data import csv_header
from pipeline.config import DataConfig
from pipeline.datasets.complete_folder import complete_folder
from trainer.errors import UsageError, UserError

Period = Literal["week", "month", "year"]

_DAY_SECONDS: Final = 86_400
_A_MONDAY: Final = 4 * _DAY_SECONDS  # 1970-01-05
_LINES_AT_ONCE: Final = 1 << 19


def split_spans(
    source: Path,
    target: Path,
    *,
    num_spans: int | None = None,
    days: int | None = None,
    every: Period | None = None,
    start: datetime.date | None = None,
    config: DataConfig | None = None,
) -> list[tuple[str, int]]:
    """Writes the spans of `source` as folders into `target`, which must not exist.

    Args:
      source: Folder of an edition.
      target: New folder for `span-1`, `span-2`.. or, without `num_spans`,
        `2026-03-01`..
      num_spans: Number of spans, with about equally many ratings each.
      days: Length of each span in days, UTC; a folder is named by its last day.
      every: The same for weeks from Monday on, and calendar months and years.
      start: All that is older than the span of this day becomes one span, the first;
        None to split all.
      config: Names of columns, if they differ from MovieLens'.

    Returns:
      Name and number of ratings of each span, oldest first.

    Raises:
      UsageError: None or several of `num_spans`, `days` and `every` are given.
      UserError: The input is missing or has bad rows, or the target exists.
    """
    if [num_spans, days, every].count(None) != 2:  # noqa: PLR2004 - all but one
        raise UsageError(
            "split-spans needs one of --spans, --days and --every", "Give one of them."
        )
    if target.exists():
        raise UserError(f"{target} exists", "Give a new folder, or delete that one.")
    config = config or DataConfig()
    if csv_header(config)[TIMESTAMP] is None:
        raise UsageError(
            "data.columns.timestamp is null, so there are no times to split by",
            "Name the column with the times.",
        )
    # A row set aside would shift all rows after it against the lines of the file.
    config = dataclasses.replace(config, on_bad_row="fail")
    prepared = ingest.prepare(source, config)
    if len(prepared.spans) > 1:
        raise UserError(
            f"{source} holds spans already", "Give the folder of an edition."
        )
    times = prepared.data.ratings.timestamps
    if num_spans is not None:
        names, firsts = _equal_cuts(times, num_spans)
    elif every is not None:
        names, firsts = _calendar_cuts(times, every)
    else:
        names, firsts = _day_cuts(times, days or 1)
    if start is not None:
        names, firsts = _from(start, names, firsts)
    with complete_folder(target) as new:
        folders = [new / name for name in names]
        for folder in folders:
            folder.mkdir()
        counts = _write_ratings(prepared, firsts, folders)
        _write_movies(prepared, firsts, folders)
        for path in prepared.spans[0].files.users:
            shutil.copy(path, folders[0] / path.name)
    return list(zip(names, counts, strict=True))


_Cuts = tuple[list[str], NDArray[np.int64]]


def _equal_cuts(times: NDArray[np.int64], num_spans: int) -> _Cuts:
    """Returns the names of the spans, and the first second of each."""
    ordered = np.sort(times)
    starts = np.arange(num_spans) * len(ordered) // num_spans
    firsts = np.unique(ordered[starts])
    if len(firsts) < num_spans:
        raise UserError(
            f"the ratings have too few different times for {num_spans} spans",
            f"Split into at most {len(firsts)}.",
        )
    return [f"span-{number + 1}" for number in range(num_spans)], firsts


def _day_cuts(times: NDArray[np.int64], days: int) -> _Cuts:
    length = days * _DAY_SECONDS
    start = int(times.min()) // _DAY_SECONDS * _DAY_SECONDS
    used = np.unique((times - start) // length)
    return _dated(start + used * length, start + (used + 1) * length)


def _calendar_cuts(times: NDArray[np.int64], every: Period) -> _Cuts:
    if every == "week":
        length = 7 * _DAY_SECONDS
        monday = times - (times - _A_MONDAY) % length
        firsts = np.unique(monday)
        return _dated(firsts, firsts + length)
    used = np.unique(times.astype("M8[s]").astype(f"M8[{every[0].upper()}]"))
    firsts, ends = (edge.astype("M8[s]").astype(np.int64) for edge in (used, used + 1))
    return _dated(firsts, ends)


def _dated(firsts: NDArray[np.int64], ends: NDArray[np.int64]) -> _Cuts:
    """Names each span by its last day."""
    last_days = (ends - _DAY_SECONDS).astype("M8[s]")
    return np.datetime_as_string(last_days, "D").tolist(), firsts


def _from(start: datetime.date, names: list[str], firsts: NDArray[np.int64]) -> _Cuts:
    """Makes one span of all that are before that of a day."""
    midnight = datetime.datetime.combine(start, datetime.time(), datetime.timezone.utc)
    before = int((firsts <= midnight.timestamp()).sum()) - 1
    if before <= 0:
        return names, firsts
    return names[before - 1 :], np.append(firsts[0], firsts[before:])


def _write_ratings(
    prepared: ingest.Prepared,
    firsts: NDArray[np.int64],
    folders: Sequence[Path],
) -> list[int]:
    """Copies each line of the ratings files into the file of its span."""
    files = prepared.spans[0].files
    # Without bad rows the ratings as read are the lines of the files, in order.
    spans = np.searchsorted(firsts, prepared.data.ratings.timestamps, "right") - 1
    span_of_row = iter(spans.tolist())
    for path, name in _named(files.ratings, files.family.ratings):
        lines = text_files.iter_lines(path, files.family)
        head = next(lines) if files.family.has_header else b""
        for folder in folders:
            (folder / name).write_bytes(head)
        while some := list(itertools.islice(lines, _LINES_AT_ONCE)):
            by_span: dict[int, list[bytes]] = defaultdict(list)
            for line in some:
                by_span[next(span_of_row)].append(line)
            # One file at a time: there may be more spans than a process may open.
            for span, lines_of_span in by_span.items():
                with open(folders[span] / name, "ab") as out:
                    out.writelines(lines_of_span)
    return np.bincount(spans, minlength=len(folders)).tolist()


def _named(
    paths: Sequence[Path], patterns: Sequence[str]
) -> Iterator[tuple[Path, str]]:
    """Yields each file with its name in the spans.

    Parts are numbered without their total: a span need not have rows of each.
    """
    if len(paths) == 1:
        yield paths[0], patterns[0]
        return
    for number, path in enumerate(paths, start=1):
        yield path, patterns[-1].replace("*", str(number))


def _write_movies(
    prepared: ingest.Prepared,
    firsts: NDArray[np.int64],
    folders: Sequence[Path],
) -> None:
    """Lists each movie in the span in which it is first rated."""
    files, ratings = prepared.spans[0].files, prepared.data.ratings
    first_rated = np.full(len(ratings.movie_ids), np.iinfo(np.int64).max)
    np.minimum.at(first_rated, ratings.movies, ratings.timestamps)
    spans = (np.searchsorted(firsts, first_rated, "right") - 1).tolist()
    span_of = dict(zip(ratings.movie_ids.tolist(), spans, strict=True))
    header = csv_header(prepared.config)
    for path, name in _named(files.movies, files.family.movies):
        listed: list[list[str]] = [[] for _ in folders]
        for _, fields, content in movie_rows(path, files.family, header):
            assert not isinstance(fields, Fault), "a bad row ends the reading before"
            span = span_of.get(fields[0].strip().encode(), 0)
            listed[span].append(content.decode().rstrip("\r\n") + "\n")
        lines_of_file = text_files.iter_lines(path, files.family)
        head = next(lines_of_file) if files.family.has_header else b""
        for folder, lines in zip(folders, listed, strict=True):
            if lines:
                text = _encode("".join(lines), files.family.encoding)
                (folder / name).write_bytes(head + text)


def _encode(text: str, encoding: str) -> bytes:
    """Encodes a text; as UTF-8, which all readers know, if the encoding cannot."""
    try:
        return text.encode(encoding)
    except UnicodeEncodeError:
        return text.encode()
