"""Movies and users files. They are small beside the ratings: read row by row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components.movielens_example_gen import editions, row_checks
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.editions import Family
from components.movielens_example_gen.tables import Movie, User
from pipeline.errors import UserError

# u.item's flags in column order, as u.genre of the edition lists them.
ML_100K_GENRES: Final = (
    "unknown,Action,Adventure,Animation,Children's,Comedy,Crime,Documentary,Drama,"
    "Fantasy,Film-Noir,Horror,Musical,Mystery,Romance,Sci-Fi,Thriller,War,Western"
).split(",")
_NO_GENRES: Final = ("", "unknown", "(no genres listed)")

# ML-1M's occupation codes, from the edition's README.
ML_1M_OCCUPATIONS: Final = (
    "other,educator,artist,clerical,college student,customer service,doctor,executive,"
    "farmer,homemaker,K-12 student,lawyer,programmer,retired,salesman,scientist,"
    "self-employed,engineer,craftsman,unemployed,writer"
).split(",")

_ITEM_FIELDS = 5 + len(ML_100K_GENRES)
_MOVIE_FIELDS = 3
_USER_FIELDS = 5
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
    for line, fields, content in _rows(path, family, header):
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
    expected = _ITEM_FIELDS if family is editions.TAB else _MOVIE_FIELDS
    detail = f"{len(fields)} fields instead of {expected}"
    if family.has_header and len(fields) > expected:
        detail += ": a title with a comma must stand in double quotes"
    return detail


def _rows(
    path: Path, family: Family, header: Mapping[str, str]
) -> Iterator[tuple[int, list[str], bytes]]:
    """Yields (line number, fields as id, title, genres.., content) of each row."""
    text = decode(path, family)
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
    reader = csv.reader(io.StringIO(text, newline=""))
    head = next(reader, [])
    order = _csv_order(path, head, header)
    last = reader.line_num
    for row in reader:
        number, last = last + 1, reader.line_num
        if row:
            fits = len(row) == len(head)
            fields = [row[i] for i in order] if fits else row
            yield number, fields, ",".join(row).encode()


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


def decode(path: Path, family: Family) -> str:
    """The file's text, without a byte-order mark.

    Raises:
      UserError: The file is not in the family's encoding.
    """
    data = path.read_bytes()
    row_checks.check_is_text(path, data)
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode(family.encoding)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        content = data.split(b"\n")[line - 1]
        raise UserError(
            f"{path} line {line}: byte {data[e.start : e.end]!r} is not "
            f"{family.encoding} ({content[:120]!r})",
            "Save the file as UTF-8 (for instance with `iconv -f LATIN1 -t UTF-8`).",
        ) from None


def read_users(path: Path, family: Family, bad: BadRows) -> dict[bytes, User]:
    """Reads one users file (ML-100K: id|age|gender|occupation|zip; ML-1M: by code)."""
    users: dict[bytes, User] = {}
    delimiter = "|" if family is editions.TAB else family.delimiter
    for number, line in enumerate(decode(path, family).split("\n"), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split(delimiter)]
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
    if not age.isdigit() or gender not in ("F", "M"):
        return None
    return User(int(age), gender, occupation, zip_code)
