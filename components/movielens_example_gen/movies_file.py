"""Movies files. They are small beside the ratings, and are read row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.movielens_example_gen import editions, text_files
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.editions import Family
from components.movielens_example_gen.tables import Movie
from trainer.errors import UserError

# u.item's flags in column order, as u.genre of the edition lists them.
ML_100K_GENRES: Final = (
    "unknown,Action,Adventure,Animation,Children's,Comedy,Crime,Documentary,Drama,"
    "Fantasy,Film-Noir,Horror,Musical,Mystery,Romance,Sci-Fi,Thriller,War,Western"
).split(",")
_NO_GENRES: Final = ("", "unknown", "(no genres listed)")

# Stands for the fields of a row that cannot be taken apart.
_BAD_QUOTES: Final = "\0"
_ITEM_FIELDS = 5 + len(ML_100K_GENRES)
_MOVIE_FIELDS = 3
# "(1995)" or a series' first year, "(2006-2007)" or "(2006–)", at the title's end.
_YEAR = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$")


def year_of(title: str) -> int | None:
    """The year at the title's end (a series' first), or None."""
    match = _YEAR.search(title)
    return int(match.group(1)) if match else None


def read_movies(
    path: Path, family: Family, header: Mapping[str, str], bad: BadRows
) -> dict[bytes, Movie]:
    """Reads one movies file.

    Raises:
      UserError: The file is not in the family's encoding or lacks a column.
    """
    movies: dict[bytes, Movie] = {}
    for line, fields, content in rows(path, family, header):
        movie = _movie(fields, family)
        movie_id = fields[0].strip() if fields else ""
        if movie is None:
            bad.add(path, line, "movie fields", _field_detail(fields, family), content)
        elif not movie_id:
            bad.add(path, line, "movie_id", "movie_id is empty", content)
        elif movies.setdefault(movie_id.encode(), movie) != movie:
            detail = f"movie {movie_id} is listed twice with different data"
            bad.add(path, line, "movie twice", detail, content)
    return movies


def _movie(fields: list[str], family: Family) -> Movie | None:
    if family is editions.TAB:
        if len(fields) != _ITEM_FIELDS:
            return None
        flags = zip(ML_100K_GENRES, fields[5:], strict=True)
        genres = [name for name, flag in flags if flag.strip() == "1"]
    else:
        if len(fields) != _MOVIE_FIELDS:
            return None
        genres = fields[2].strip().split("|")
    title = fields[1].strip()
    kept = tuple(g.strip() for g in genres if g.strip() not in _NO_GENRES)
    return Movie(title, kept, year_of(title))


def _field_detail(fields: list[str], family: Family) -> str:
    if fields == [_BAD_QUOTES]:
        return "a double quote in the wrong place: double it within a title"
    expected = _ITEM_FIELDS if family is editions.TAB else _MOVIE_FIELDS
    detail = f"{len(fields)} fields instead of {expected}"
    if family.has_header and len(fields) > expected:
        detail += ": a title with a comma must stand in double quotes"
    return detail


def rows(
    path: Path, family: Family, header: Mapping[str, str]
) -> Iterator[tuple[int, list[str], bytes]]:
    """Yields the rows of a movies file, right or wrong.

    Yields:
      (line number, fields with id and title first, content as UTF-8).

    Raises:
      UserError: The file is not in the family's encoding, lacks a column, or has a
        quote that is never closed.
    """
    text = text_files.decode(path, family)
    if not family.has_header:
        delimiter = "|" if family is editions.TAB else family.delimiter
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                fields = line.rstrip("\r").split(delimiter)
                if family is editions.DOUBLE_COLON and len(fields) > _MOVIE_FIELDS:
                    # Only a title can hold the delimiter: ids and genres never do.
                    fields = [fields[0], delimiter.join(fields[1:-1]), fields[-1]]
                yield number, fields, line.encode()
        return
    yield from _csv_rows(path, text, header)


def _csv_rows(
    path: Path, text: str, header: Mapping[str, str]
) -> Iterator[tuple[int, list[str], bytes]]:
    lines = list(io.StringIO(text, newline=""))
    reader = csv.reader(lines, strict=True)
    head: list[str] = []
    order: list[int] = []
    while True:
        first = reader.line_num
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            # At the end of the file an open quote has taken in all that followed.
            if reader.line_num >= len(lines):
                raise UserError(
                    f"{path} line {first + 1}: a double quote is never closed "
                    f"({lines[first][:120]!r})",
                    "Close it, or double it where it is part of the title.",
                ) from e
            row = [_BAD_QUOTES]
        if not head:
            head, order = row, _csv_order(path, row, header)
        elif row:
            content = "".join(lines[first : reader.line_num]).encode()
            fields = [row[i] for i in order] if len(row) == len(head) else row
            yield first + 1, fields, content


def _csv_order(path: Path, head: list[str], header: Mapping[str, str]) -> list[int]:
    names = [name.strip() for name in head]
    order = []
    for ours in (editions.MOVIE, "title", "genres"):
        if header[ours] not in names:
            raise UserError(
                f"{path} line 1: no column {header[ours]!r} in the header {names}",
                f"Set data.columns.{ours} to the column's name, or add a header.",
            )
        order.append(names.index(header[ours]))
    return order
