"""Prints a comparison of `two-tower batch-recommend --shadow`."""

from __future__ import annotations

from typing import Any

from pipeline.cli.tables import echo, number, print_table

_ROLES = ("live", "candidate")


def print_comparison(report: dict[str, Any]) -> None:
    """Prints what would change, as tables.

    Args:
      report: From `pipeline.serving.batch.shadow.compare`.
    """
    k, users = report["k"], report["users"]
    overlap = report[f"overlap@{k}"]
    echo(f"{users:,} users, {k} movies each; nothing of the candidate is served.\n")
    print_table(
        ("", "mean>", "5%>", "25%>", "median>", "75%>", "95%>"),
        [
            _spread_row(f"overlap@{k}", overlap),
            _spread_row("rank-biased overlap", report["rank_biased_overlap"]),
        ],
    )
    bars = overlap["distribution"]
    echo(f"\nUsers by overlap@{k}\n")
    print_table(
        ("overlap", "users>"),
        [(low, f"{share:.1%}") for low, share in bars.items() if share],
    )
    echo("")
    print_table(
        ("", *(f"{role}>" for role in _ROLES)),
        [
            ("model", *(str(_side(report, role, "version")) for role in _ROLES)),
            _pair(report, "coverage", "coverage of the corpus", "{:.1%}"),
            _pair(report, "mean_ratings_of_a_movie", "ratings of a movie", "{:,.0f}"),
            _pair(report, "novelty_bits", "novelty, bits", "{:.2f}"),
            _pair(report, "movies_per_user", "movies for a user", "{:.2f}"),
            *(
                (
                    f"{p}, one user, ms",
                    *(number(report[r]["latency_ms"][p], 2) for r in _ROLES),
                )
                for p in ("p50", "p99")
            ),
            _pair(report, "users_per_second", "users/s in batches", "{:,.0f}"),
        ],
    )
    for name, title in (("gain", "more"), ("lose", "less")):
        if report[name]:
            echo(f"\nMovies that would be recommended {title}, by share of users\n")
            print_table(
                ("movie>", "title", "live>", "candidate>"),
                map(_movie_row, report[name]),
            )
    echo(
        f"\n{report['first_movie_changes']:.1%} of the users get another first movie, "
        f"{report['same_list']:.1%} the same list."
    )
    if unknown := report["users_unknown_to_the_candidate"]:
        echo(f"The candidate does not know {unknown:,} of the users.")


def _spread_row(name: str, values: dict[str, float]) -> tuple[str, ...]:
    names = ("mean", "p5", "p25", "p50", "p75", "p95")
    return (name, *(number(values[each], 3) for each in names))


def _side(report: dict[str, Any], role: str, name: str) -> Any:
    side = report[role]
    return side["path"] if side[name] is None else side[name]


def _pair(report: dict[str, Any], name: str, label: str, form: str) -> tuple[str, ...]:
    values = [report[role][name] for role in _ROLES]
    return (label, *("-" if v is None else form.format(v) for v in values))


def _movie_row(movie: dict[str, Any]) -> tuple[str, ...]:
    shares = (movie[f"{role}_share_of_users"] for role in _ROLES)
    return (movie["movie_id"], movie["title"], *(f"{share:.1%}" for share in shares))
