"""Users files, which only ML-100K and ML-1M have."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from components.movielens_example_gen import editions, text_files
from components.movielens_example_gen.bad_rows import BadRows
from components.movielens_example_gen.editions import Family
from components.movielens_example_gen.tables import User

# ML-1M's occupation codes, from the edition's README.
ML_1M_OCCUPATIONS: Final = (
    "other,educator,artist,clerical,college student,customer service,doctor,executive,"
    "farmer,homemaker,K-12 student,lawyer,programmer,retired,salesman,scientist,"
    "self-employed,engineer,craftsman,unemployed,writer"
).split(",")
_USER_FIELDS: Final = 5


def read_users(path: Path, family: Family, bad: BadRows) -> dict[bytes, User]:
    """Reads one users file (ML-100K: id|age|gender|occupation|zip; ML-1M: by code)."""
    users: dict[bytes, User] = {}
    delimiter = "|" if family is editions.TAB else family.delimiter
    for number, line in enumerate(text_files.decode(path, family).split("\n"), start=1):
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
