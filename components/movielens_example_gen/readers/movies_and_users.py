"""Movies and users files. They are small beside the ratings, and read row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.inputs.editions import Family
from components.movielens_example_gen.readers import text_files
from components.movielens_example_gen.readers.bad_rows import BadRows
from components.movielens_example_gen.readers.rating_rows import Fault, id_fault
from components.movielens_example_gen.tables import Movie, User
from trainer.errors import UserError
from trainer.movielens import (
    GENDERS,
    ML_1M_OCCUPATIONS,
    ML_100K_GENRES,
    title_year,
)
from trainer.text import printable

# A code of ML-1M or an age.
_SMALL_NUMBER: Final = re.compile(r"[0-9]{1,3}")
_NO_GENRES: Final = ("", "unknown", "(no genres listed)")
_MOVIE_FIELDS: Final = 3
_USER_FIELDS: Final = 5


def read_movies(
    paths: Sequence[Path],
    family: Family,
    header: Mapping[str, str | None],
    bad: BadRows,
) -> dict[bytes, Movie]:
    """Reads the movies files of one folder; of a movie they must say the same.

    Raises:
      UserError: The file is not in the family's encoding, lacks a column, or has a
        quote that is never closed.
    """
    movies: dict[bytes, Movie] = {}
    for path in paths:
        _add_movies(path, family, header, bad, movies)
    return movies


def _add_movies(
    path: Path,
    family: Family,
    header: Mapping[str, str | None],
    bad: BadRows,
    movies: dict[bytes, Movie],
) -> None:
    num_rows, num_bad = 0, len(bad.rows)
    for line, fields, content in movie_rows(path, family, header):
        num_rows += 1
        if isinstance(fields, Fault):
            bad.add_fault(path, line, fields, content)
        elif fault := id_fault("movie_id", fields[0]):
            bad.add_fault(path, line, fault, content)
        else:
            movie_id, movie = fields[0].strip(), _movie(fields, family)
            if movies.setdefault(movie_id.encode(), movie) != movie:
                detail = f"movie {movie_id} is listed twice with different data"
                bad.add(path, line, "movie twice", detail, content)
    bad.num_read += num_rows if len(bad.rows) > num_bad else 0


def _movie(fields: Sequence[str], family: Family) -> Movie:
    if family is editions.TAB:
        flags = zip(ML_100K_GENRES, fields[5:], strict=True)
        genres = [name for name, flag in flags if flag.strip() == "1"]
    else:
        genres = printable(fields[2]).strip().split("|")
    title = printable(fields[1]).strip()
    kept = tuple(g.strip() for g in genres if g.strip() not in _NO_GENRES)
    return Movie(title, kept, title_year(title))


def _wrong_number(found: int, expected: int, hint: str = "") -> Fault:
    return Fault("movie fields", f"{found} fields instead of {expected}{hint}")


def movie_rows(
    path: Path, family: Family, header: Mapping[str, str | None]
) -> Iterator[tuple[int, list[str] | Fault, bytes]]:
    """Yields the rows of a movies file, good and bad ones.

    Yields:
      (line number, fields with id, title and genres first or why the row is refused,
      content as UTF-8).

    Raises:
      UserError: See `read_movies`.
    """
    text = text_files.decode(path, family)
    if family.has_header:
        yield from _csv_rows(path, text, header)
        return
    delimiter = family.attribute_delimiter
    is_tab = family is editions.TAB
    expected = 5 + len(ML_100K_GENRES) if is_tab else _MOVIE_FIELDS
    for number, line in _lines(text):
        fields = line.split(delimiter)
        if not is_tab and len(fields) > expected:
            # Only a title can hold the delimiter: ids and genres never do.
            fields = [fields[0], delimiter.join(fields[1:-1]), fields[-1]]
        is_row = len(fields) == expected
        row = fields if is_row else _wrong_number(len(fields), expected)
        yield number, row, line.encode()


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Yields the lines that are not blank, with their numbers."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line


def _csv_rows(
    path: Path, text: str, header: Mapping[str, str | None]
) -> Iterator[tuple[int, list[str] | Fault, bytes]]:
    # Python 3.10 cannot read NUL, and no control character is kept as it is.
    lines = list(io.StringIO(text.replace("\0", "\x01"), newline=""))
    reader = csv.reader(lines, strict=True)
    head: list[str] = []
    order: list[int] = []
    while True:
        first = reader.line_num
        row: list[str] | Fault
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as e:
            row = _csv_fault(path, e, lines, first, reader.line_num)
        if not head:
            if isinstance(row, Fault):
                raise UserError(f"{path} line 1: {row.detail}", "Correct the header.")
            wanted = [editions.MOVIE, "title"]
            wanted += ["genres"] if header["genres"] is not None else []
            head, order = row, text_files.find_columns(path, row, header, wanted)
        elif isinstance(row, Fault) or len(row) > 1 or "".join(row).strip():
            content = "".join(lines[first : reader.line_num]).encode()
            yield first + 1, _in_order(row, len(head), order), content


def _csv_fault(
    path: Path, error: csv.Error, lines: Sequence[str], first: int, end: int
) -> Fault:
    """Returns why a row cannot be read.

    Args:
      path: The file.
      error: From the reader.
      lines: All lines of the file.
      first: Index of the row's first line.
      end: Index after the last line that the reader has read.

    Raises:
      UserError: A quote takes in all lines up to the end of the file.
    """
    if "field limit" in str(error):
        return Fault("movie fields", "a field is longer than 131,072 characters")
    if end < len(lines):
        detail = "a double quote in the wrong place: double it within a title"
        return Fault("quotes", detail)
    raise UserError(
        f"{path} line {first + 1}: a double quote is never closed "
        f"({lines[first][:120]!r})",
        "Close it, or double it if it is part of the title.",
    ) from error


def _in_order(
    row: list[str] | Fault, expected: int, order: Sequence[int]
) -> list[str] | Fault:
    """Returns id, title and genres (empty if the file has none)."""
    if isinstance(row, Fault):
        return row
    if len(row) != expected:
        is_more = len(row) > expected
        hint = ": a title with a comma must be in double quotes" if is_more else ""
        return _wrong_number(len(row), expected, hint)
    return [*(row[i] for i in order), *([""] * (_MOVIE_FIELDS - len(order)))]


def read_users(
    paths: Sequence[Path], family: Family, bad: BadRows
) -> dict[bytes, User]:
    """Reads the users files of one folder, which only ML-100K and ML-1M have.

    Raises:
      UserError: The file is not in the family's encoding.
    """
    users: dict[bytes, User] = {}
    for path in paths:
        _add_users(path, family, bad, users)
    return users


def _add_users(
    path: Path, family: Family, bad: BadRows, users: dict[bytes, User]
) -> None:
    num_rows, num_bad = 0, len(bad.rows)
    for number, line in _lines(text_files.decode(path, family)):
        num_rows += 1
        fields = [field.strip() for field in line.split(family.attribute_delimiter)]
        user = _user(fields, family)
        if fault := id_fault("user_id", fields[0]):
            bad.add_fault(path, number, fault, line.encode())
        elif user is None:
            detail = f"not a user row of {family.name}"
            bad.add(path, number, "user fields", detail, line.encode())
        elif users.setdefault(fields[0].encode(), user) != user:
            detail = f"user {fields[0]} is listed twice with different data"
            bad.add(path, number, "user twice", detail, line.encode())
    bad.num_read += num_rows if len(bad.rows) > num_bad else 0


def _user(fields: list[str], family: Family) -> User | None:
    if len(fields) != _USER_FIELDS:
        return None
    if family is editions.TAB:
        _, age, gender, occupation, zip_code = fields
    else:
        _, gender, age, code, zip_code = fields
        is_code = _SMALL_NUMBER.fullmatch(code) and int(code) < len(ML_1M_OCCUPATIONS)
        if not is_code:
            return None
        occupation = ML_1M_OCCUPATIONS[int(code)]
    if not _SMALL_NUMBER.fullmatch(age) or gender not in GENDERS:
        return None
    return User(int(age), gender, printable(occupation), printable(zip_code))
