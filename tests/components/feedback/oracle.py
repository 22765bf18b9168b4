"""The join of impressions and ratings in plain Python, as its definition reads."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from components.feedback.impressions import Impression


class Rating(NamedTuple):
    user: str
    movie: str
    rating: float
    time: int


def expected(
    impressions: Sequence[Impression],
    ratings: Iterable[Rating],
    *,
    window: int,
    k: int,
    min_rating: float = 0.0,
) -> dict[tuple[int, str], dict[str, Any]]:
    """Returns the counts and metrics by version and label."""
    impressions = list(
        {(i.request_id, i.user_id, i.version, i.at): i for i in impressions}.values()
    )
    first: dict[tuple[str, str], Rating] = {}
    for rating in ratings:
        key = rating.user, rating.movie
        if key not in first or (rating.time, -rating.rating) < (
            first[key].time,
            -first[key].rating,
        ):
            first[key] = rating
    credited: dict[int, list[str]] = defaultdict(list)
    followed: set[int] = set()
    for rating in first.values():
        if rating.rating < min_rating:
            continue
        before = [
            (math.floor(i.at.timestamp()), i.at, n)
            for n, i in enumerate(impressions)
            if i.user_id == rating.user
            and 0 <= rating.time - math.floor(i.at.timestamp()) <= window
        ]
        if before:
            credited[max(before)[2]].append(rating.movie)
            followed |= {n for *_, n in before}
    groups: dict[tuple[int, str], dict[str, Any]] = {}
    for n, impression in enumerate(impressions):
        if not impression.user_id:
            continue
        group = groups.setdefault(
            (impression.version, impression.label),
            {"impressions": 0, "superseded": 0, "with_outcome": 0, "outcomes": 0}
            | {
                "hit": [],
                "ndcg": [],
                "users": set(),
                "hits": [0] * k,
                "shown": [0] * k,
            },
        )
        group["impressions"] += 1
        group["users"].add(impression.user_id)
        if n in followed and n not in credited:
            group["superseded"] += 1
        if n not in credited:
            continue
        group["with_outcome"] += 1
        group["outcomes"] += len(credited[n])
        dcg, shown = 0.0, impression.movie_ids[:k]
        for position, movie in enumerate(shown):
            group["shown"][position] += 1
            if movie in credited[n]:
                group["hits"][position] += 1
                dcg += 1 / math.log2(position + 2)
        ideal = sum(1 / math.log2(r + 2) for r in range(min(k, len(credited[n]))))
        group["hit"].append(float(dcg > 0))
        group["ndcg"].append(dcg / ideal)
    return groups
