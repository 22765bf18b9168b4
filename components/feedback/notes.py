"""What a reader of the figures must know, in sentences.

Why there is no correction for positions: inverse-propensity weights need the chance
that a user looks at a position (Joachims, Swaminathan and Schnabel, "Unbiased
Learning-to-Rank with Biased Feedback", WSDM 2017). To estimate it takes shuffled lists,
or several rankers that show a movie at several positions to comparable users (Agarwal
et al., "Estimating Position Bias without Intrusive Interventions", WSDM 2019). The log
of impressions has neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

POSITION_BIAS: Final = (
    "People rate what they see, and see first what stands first: rates by position "
    "mix how good a movie is with where it stood, and a movie that was not shown had "
    "little chance. Nothing is reweighted for that, because one ranking for each user "
    "does not identify the chance of being seen at a position."
)
OBSERVATIONAL: Final = (
    "Differences between versions are observations: versions that were served at other "
    "times, or to other users, differ in more than the model. Only if users were "
    "assigned to versions at random do they measure an effect."
)


def of(result: Mapping[str, Any]) -> list[str]:
    """Returns what stands out in the result of `measure`."""
    return list(_notes(result))


def _notes(result: Mapping[str, Any]) -> Iterator[str]:
    groups = result["groups"]
    yield from _left_out(result)
    queries = sum(group["with_outcome"] for group in groups)
    if not queries:
        yield _no_overlap(result)
        return
    if still_open := sum(group["open"] for group in groups):
        yield (
            f"{still_open:,} impressions are less than {result['window_days']:g} days "
            "older than the newest rating: their outcomes are not complete."
        )
    if short := sum(group["shorter_than_k"] for group in groups):
        yield (
            f"{short:,} lists with an outcome show fewer than {result['k']} movies, "
            "and so have fewer chances of a hit."
        )
    if result["differences"]:
        several = result["users_of_several_versions"]
        shared = f" {several:,} users had several versions." if several else ""
        yield OBSERVATIONAL + shared
    yield POSITION_BIAS


def _left_out(result: Mapping[str, Any]) -> Iterator[str]:
    """Names what was read and does not count."""
    if damaged := result["damaged_files"]:
        path, cause = next(iter(result["damaged"].items()))
        yield f"{damaged:,} files are damaged and left out, such as {path}: {cause}"
    if malformed := result["malformed_rows"]:
        yield (
            f"{malformed:,} rows are left out because no server writes such: a value "
            "is missing, a list is longer than k or names a movie twice, or a score is "
            "not finite."
        )
    if duplicates := result["duplicate_rows"]:
        yield (
            f"{duplicates:,} rows are there twice (equal request, user, version and "
            "time) and count once."
        )
    if anonymous := result["anonymous_rows"]:
        yield f"{anonymous:,} impressions are of nobody known, whom no rating can name."


def _no_overlap(result: Mapping[str, Any]) -> str:
    """Says why no impression has an outcome."""
    groups = result["groups"]
    shown = sum(group["impressions"] for group in groups)
    first, last = result["first_impression"], result["last_impression"]
    if not shown:
        return "No impression is of a user with an id: there is nothing to judge."
    if result["last_rating"] is None:
        return "There is no rating that could be an outcome."
    if shown == sum(group["of_users_without_ratings"] for group in groups):
        return (
            "No user of the impressions has rated anything in these data: are the "
            "ratings those of the people who were served?"
        )
    if result["last_rating"] < first:
        return (
            f"The ratings end at {result['last_rating']}, before the first impression "
            f"at {first}: nothing can be said before newer ratings are there."
        )
    if result["first_rating"] > last:
        return (
            f"The ratings begin at {result['first_rating']}, after the last impression "
            f"at {last}."
        )
    return (
        f"No user rated a movie for the first time within {result['window_days']:g} "
        "days of an impression."
    )
