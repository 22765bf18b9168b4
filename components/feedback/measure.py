"""How served recommendations did: counts and metrics by version and label."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from components.feedback import impressions, notes
from components.feedback.clustered import CONFIDENCE, ClusterSums
from components.feedback.config import FeedbackConfig
from components.feedback.impressions import ReadCounts
from components.feedback.join import Joined, join
from components.feedback.outcomes import Outcomes
from components.feedback.user_parts import read_parts
from components.metrics.hit_rate import HitRate
from components.metrics.ndcg import Ndcg

METRICS: Final = (HitRate, Ndcg)
_NAMED: Final = 10  # damaged files


@dataclass
class Group:
    """The impressions of one version under one label.

    Attributes:
      version, label: As in the impressions.
      impressions: Number of them, of users with an id.
      users: Number of these users.
      unrated: Impressions of users who have rated nothing at all.
      open: Impressions whose window ends after the newest rating: they may still be
        followed by an outcome.
      superseded: Impressions followed by outcomes that a later impression has.
      queries: Impressions that outcomes are credited to.
      outcomes: Number of outcomes that are.
      short: Queries whose list shows fewer than k movies.
      sums: Metric -> sums over users of these queries.
      shown, hits: int64 `[k]`: queries with a movie at each position, and how many of
        these are hits.
    """

    version: int
    label: str
    k: int
    impressions: int = 0
    users: int = 0
    unrated: int = 0
    open: int = 0
    superseded: int = 0
    queries: int = 0
    outcomes: int = 0
    short: int = 0
    sums: dict[str, ClusterSums] = field(default_factory=dict)
    shown: NDArray[np.int64] = field(init=False)
    hits: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        """Starts with no impression."""
        self.shown, self.hits = (np.zeros(self.k, np.int64) for _ in range(2))
        self.sums = {metric(self.k).name: ClusterSums() for metric in METRICS}

    def add(
        self, joined: Joined, chosen: NDArray[np.bool_], closed_until: int | None
    ) -> None:
        """Adds the chosen impressions of some users, who come only once.

        Args:
          joined: All impressions of the users.
          chosen: bool `[impressions]`: those of this group.
          closed_until: The last second of which the window has ended; None if none has.
        """
        self.impressions += int(chosen.sum())
        self.users += len(np.unique(joined.user[chosen]))
        self.unrated += int((chosen & ~joined.is_known).sum())
        is_open = closed_until is None or joined.at > closed_until
        self.open += int((chosen & is_open).sum())
        self.superseded += int((chosen & joined.is_superseded).sum())
        lengths = pc.list_value_length(joined.table["movie_ids"]).to_numpy()
        users, values = [], dict[str, list[NDArray[np.float64]]]()
        for rows, ranks in joined.queries(chosen):
            users.append(joined.user[rows])
            for metric in (kind(self.k) for kind in METRICS):
                values.setdefault(metric.name, []).append(metric.value(ranks))
            self.queries += len(rows)
            self.outcomes += int(np.count_nonzero(ranks.rank))
            self.short += int((lengths[rows] < self.k).sum())
            width = np.minimum(lengths[rows], self.k)
            ends = np.bincount(width, minlength=self.k + 1)
            self.shown += ends[::-1].cumsum()[::-1][1:]
            hits = ranks.rank[ranks.hits(self.k)]
            self.hits += np.bincount(hits, minlength=self.k + 1)[1:]
        for name, blocks in values.items():
            self.sums[name].add(np.concatenate(users), np.concatenate(blocks))

    def as_json(self) -> dict[str, Any]:
        """Its counts and metrics."""
        first = next(iter(self.sums.values()))
        return {
            "version": self.version,
            "label": self.label,
            "impressions": self.impressions,
            "users": self.users,
            "of_users_without_ratings": self.unrated,
            "open": self.open,
            "superseded": self.superseded,
            "with_outcome": self.queries,
            "share_with_outcome": self.queries / self.impressions,
            "users_with_outcome": first.users,
            "outcomes": self.outcomes,
            "shorter_than_k": self.short,
            "metrics": {n: s.estimate().as_json() for n, s in self.sums.items()},
            "by_position": [
                {"position": position, "shown": shown, "hits": hits}
                for position, (shown, hits) in enumerate(
                    zip(self.shown.tolist(), self.hits.tolist(), strict=True), start=1
                )
                if shown
            ],
        }


@dataclass
class _Totals:
    """Counts over all versions; times in seconds since the epoch, UTC."""

    duplicates: int = 0
    anonymous: int = 0
    users_of_several: int = 0
    first: int | None = None
    last: int | None = None


def measure(
    folder: str, outcomes: Outcomes, config: FeedbackConfig, **options: Any
) -> dict[str, Any]:
    """Joins all impressions of a folder with what users have rated.

    Args:
      folder: Of the impressions.
      outcomes: What users have rated.
      config: The window, and the number of movies to look at.
      **options: Of `read_parts`.

    Returns:
      Plain JSON: what was read, `groups` (see `Group.as_json`) by version and label,
      `differences` of each from the one before it, and `notes` for people.

    Raises:
      UserError: The folder has no impressions, or none that can be read.
    """
    counts, totals = ReadCounts(), _Totals()
    groups: dict[tuple[int, str], Group] = {}
    paths = impressions.find_files(folder)
    for table in read_parts(paths, counts, **options):
        named = table.filter(pc.not_equal(table["user_id"], ""))
        totals.anonymous += len(table) - len(named)
        if len(named):
            joined = join(named, outcomes, config.window_seconds)
            _add(joined, outcomes, config, groups, totals)
    ordered = [groups[key] for key in sorted(groups)]
    result = {
        "window_days": config.window_days,
        "k": config.k,
        "confidence": CONFIDENCE,
        "files": counts.files,
        "damaged_files": len(counts.damaged),
        "damaged": dict(list(counts.damaged.items())[:_NAMED]),
        "rows": counts.rows,
        "malformed_rows": counts.malformed,
        "duplicate_rows": totals.duplicates,
        "anonymous_rows": totals.anonymous,
        "users_of_several_versions": totals.users_of_several,
        "first_impression": _date(totals.first),
        "last_impression": _date(totals.last),
        "first_rating": _date(outcomes.first),
        "last_rating": _date(outcomes.last),
        "groups": [group.as_json() for group in ordered],
        "differences": _differences(ordered),
    }
    return {**result, "notes": notes.of(result)}


def _add(
    joined: Joined,
    outcomes: Outcomes,
    config: FeedbackConfig,
    groups: dict[tuple[int, str], Group],
    totals: _Totals,
) -> None:
    """Adds whole users to their groups."""
    labels = joined.table["label"].combine_chunks().dictionary_encode()
    columns = (joined.table["version"].to_numpy(), labels.indices.to_numpy())
    pairs, index = np.unique(np.stack(columns), axis=1, return_inverse=True)
    index = index.reshape(-1)  # NumPy 2.0 keeps the dimension
    closed = None if outcomes.last is None else outcomes.last - config.window_seconds
    for number, (version, label) in enumerate(pairs.T.tolist()):
        key = (version, labels.dictionary[label].as_py())
        group = groups.setdefault(key, Group(*key, k=config.k))
        group.add(joined, index == number, closed)
    of_each = np.unique(np.stack((joined.user, index)), axis=1)[0]
    totals.users_of_several += int((np.bincount(of_each) > 1).sum())
    totals.duplicates += joined.duplicates
    first, last = int(joined.at.min()), int(joined.at.max())
    totals.first = first if totals.first is None else min(first, totals.first)
    totals.last = last if totals.last is None else max(last, totals.last)


def _differences(groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Compares each group that has queries with the one before it."""
    found = [group for group in groups if group.queries]
    return [
        {
            "version": group.version,
            "label": group.label,
            "against": {"version": before.version, "label": before.label},
            "metrics": {
                name: sums.estimate().minus(before.sums[name].estimate()).as_json()
                for name, sums in group.sums.items()
            },
        }
        for before, group in zip(found, found[1:], strict=False)
    ]


def _date(seconds: int | None) -> str | None:
    """Returns a time as ISO 8601; one beyond the calendar as seconds."""
    if seconds is None:
        return None
    try:
        time = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    except (ValueError, OverflowError, OSError):
        return f"{seconds} s"
    return time.isoformat(timespec="seconds")
