"""The lists that MovieLens fixes: genres, occupations, genders and age groups.

They are written down because they never change: a vocabulary made from the data would
cost Transform a pass over it for each. This module imports nothing, so that readers of
files and synthetic data use the same lists as the model.

Sources: the READMEs at https://files.grouplens.org/datasets/movielens/ (ML-25M,
"Genres"; ML-1M, "USERS FILE DESCRIPTION") and `u.genre`, `u.occupation` of ML-100K.
"""

from __future__ import annotations

from typing import Final


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


GENRES: Final = _names(
    "Action,Adventure,Animation,Children,Comedy,Crime,Documentary,Drama,Fantasy,"
    "Film-Noir,Horror,IMAX,Musical,Mystery,Romance,Sci-Fi,Thriller,War,Western"
)
# What ML-100K, ML-1M and ML-10M call "Children".
CHILDRENS: Final = "Children's"
# The flags of ML-100K's u.item in column order: no IMAX, and "unknown" for no genre.
ML_100K_GENRES: Final = (
    "unknown",
    *(CHILDRENS if g == "Children" else g for g in GENRES if g != "IMAX"),
)

GENDERS: Final = ("F", "M")

# The names of ML-100K. ML-1M's differ: those that are not here count as unknown.
OCCUPATIONS: Final = _names(
    "administrator,artist,doctor,educator,engineer,entertainment,executive,"
    "healthcare,homemaker,lawyer,librarian,marketing,none,other,programmer,"
    "retired,salesman,scientist,student,technician,writer"
)
# ML-1M stores an occupation as its index in this list.
ML_1M_OCCUPATIONS: Final = _names(
    "other,educator,artist,clerical,college student,customer service,doctor,"
    "executive,farmer,homemaker,K-12 student,lawyer,programmer,retired,salesman,"
    "scientist,self-employed,engineer,craftsman,unemployed,writer"
)

# Lower bounds of all age groups but the youngest, as ML-1M publishes them, in years.
AGE_BOUNDS: Final = (18, 25, 35, 45, 50, 56)
