"""Movies and users files. They are small beside the ratings, and read row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.inputs.editions import Family
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.tables import Movie, User
from trainer.errors import UserError
from trainer.movielens import GENDERS, ML_1M_OCCUPATIONS, ML_100K_GENRES

_NO_GENRES: Final = ("", "unknown", "(no genres listed)")
# Stands for the fields of a row whose quotes make it unreadable.
_BAD_QUOTES: Final = "\0"
_MOVIE_FIELDS: Final = 3
_USER_FIELDS: Final = 5
# "(1995)" or a series' first year, "(2006-2007)" or "(2006–)", at the title's end.
_YEAR: Final = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)\s*$")


def read_movies(
    path: Path, family: Family, header: Mapping[str, str], bad: BadRows
) -> dict[bytes, Movie]:
    """Reads one movies file.

    Raises:
      UserError: The file is not in the family's encoding, lacks a column, or has a
        quote that is never closed.
    """
    movies: dict[bytes, Movie] = {}
    for line, fields, content in movie_rows(path, family, header):
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


def _num_fields(family: Family) -> int:
    return 5 + len(ML_100K_GENRES) if family is editions.TAB else _MOVIE_FIELDS


def _movie(fields: list[str], family: Family) -> Movie | None:
    if len(fields) != _num_fields(family):
        return None
    if family is editions.TAB:
        flags = zip(ML_100K_GENRES, fields[5:], strict=True)
        genres = [name for name, flag in flags if flag.strip() == "1"]
    else:
        genres = fields[2].strip().split("|")
    title = fields[1].strip()
    kept = tuple(g.strip() for g in genres if g.strip() not in _NO_GENRES)
    year = _YEAR.search(title)
    return Movie(title, kept, int(year.group(1)) if year else None)


def _field_detail(fields: list[str], family: Family) -> str:
    if fields == [_BAD_QUOTES]:
        return "a double quote in the wrong place: double it within a title"
    expected = _num_fields(family)
    detail = f"{len(fields)} fields instead of {expected}"
    if family.has_header and len(fields) > expected:
        detail += ": a title with a comma must be in double quotes"
    return detail


def movie_rows(
    path: Path, family: Family, header: Mapping[str, str]
) -> Iterator[tuple[int, list[str], bytes]]:
    """Yields the rows of a movies file, good and bad ones.

    Yields:
      (line number, fields with id and title first, content as UTF-8).

    Raises:
      UserError: See `read_movies`.
    """
    text = text_files.decode(path, family)
    if family.has_header:
        yield from _csv_rows(path, text, header)
        return
    delimiter = family.attribute_delimiter
    for number, line in _lines(text):
        fields = line.rstrip("\r").split(delimiter)
        if family is editions.DOUBLE_COLON and len(fields) > _MOVIE_FIELDS:
            # Only a title can hold the delimiter: ids and genres never do.
            fields = [fields[0], delimiter.join(fields[1:-1]), fields[-1]]
        yield number, fields, line.encode()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


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
            # An open quote takes in all lines up to the end of the file.
            if reader.line_num >= len(lines):
                raise UserError(
                    f"{path} line {first + 1}: a double quote is never closed "
                    f"({lines[first][:120]!r})",
                    "Close it, or double it if it is part of the title.",
                ) from e
            row = [_BAD_QUOTES]
        if not head:
            wanted = (editions.MOVIE, "title", "genres")
            head, order = row, text_files.find_columns(path, row, header, wanted)
        elif row:
            content = "".join(lines[first : reader.line_num]).encode()
            fields = [row[i] for i in order] if len(row) == len(head) else row
            yield first + 1, fields, content


def read_users(path: Path, family: Family, bad: BadRows) -> dict[bytes, User]:
    """Reads one users file, which only ML-100K and ML-1M have.

    Raises:
      UserError: The file is not in the family's encoding.
    """
    users: dict[bytes, User] = {}
    for number, line in _lines(text_files.decode(path, family)):
        fields = [field.strip() for field in line.split(family.attribute_delimiter)]
        user = _user(fields, family)
        if user is None:
            detail = f"not a user row of {family.name}"
            bad.add(path, number, "user fields", detail, line.encode())
        else:
            users[fields[0].encode()] = user
    return users


def _user(fields: list[str], family: Family) -> User | None:
    if len(fields) != _USER_FIELDS or not fields[0]:
        return None
    if family is editions.TAB:
        _, age, gender, occupation, zip_code = fields
    else:
        _, gender, age, code, zip_code = fields
        if not code.isdigit() or int(code) >= len(ML_1M_OCCUPATIONS):
            return None
        occupation = ML_1M_OCCUPATIONS[int(code)]
    if not age.isdigit() or gender not in GENDERS:
        return None
    return User(int(age), gender, occupation, zip_code)
