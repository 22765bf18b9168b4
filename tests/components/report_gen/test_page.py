"""The page of a run: what it says, that it is whole, and that nothing is fetched."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser
from typing import Any

import pytest

from components.report_gen import page
from components.report_gen.facts import (
    Facts,
    Recommended,
    StepTime,
    UserSample,
    Watched,
)

_GROUPS = ("candidate", "popularity", "popularity_lift", "popularity_gain")


def numbers(value: float, queries: int, live: float | None) -> dict[str, Any]:
    """The numbers of a slice, as the summary has them."""
    metrics = ("mrr", "hit_rate@1", "hit_rate@10", "ndcg@1", "ndcg@10")
    groups: dict[str, Any] = {group: dict.fromkeys(metrics, value) for group in _GROUPS}
    groups["candidate"] = {**groups["candidate"], "coverage@10": 0.5}
    groups["baseline"] = groups["live_gain"] = None
    if live is not None:
        groups["baseline"] = {**dict.fromkeys(metrics, live), "coverage@10": 0.4}
        groups["live_gain"] = dict.fromkeys(metrics, value - live)
    wide = 1 / queries**0.5 if queries else 0.0
    intervals = {
        group: values and {m: [v - wide, v + wide] for m, v in values.items()}
        for group, values in groups.items()
    }
    return {**groups, "intervals": intervals, "queries": queries}


def facts(live: float | None = None, **changes: Any) -> Facts:
    outcome = {
        **{"metric": "ndcg@10", "kind": "lift", "slice": "", "queries": 900},
        **{"value": 0.2, "compared": 3.3, "reference": 0.1, "bound": 1.1},
        **{"noise": 0.01, "passed": True},
    }
    evaluation = {
        **numbers(0.3, 900, live),
        "queries_without_held_out": 0,
        "held_out_events_trained_on": 0,
        "slices": [
            {"features": {"gender": "F"}, **numbers(0.1, 450, live)},
            {"features": {"gender": "M"}, **numbers(0.4, 450, live)},
        ],
        "thresholds": [outcome],
        "confidence": 0.95,
        "blessed": True,
        "reasons": ["ndcg@10 0.2000 is 3.3x popularity"],
        **changes,
    }
    user = UserSample(
        "4<2",
        22,
        [Watched("<script>alert(1)</script>", 4.5)],
        ["Fargo (1996)"],
        [Recommended("Fargo (1996)", "Crime", True)],
    )
    return Facts(
        run_id="20260101T000000Z",
        made_at="2026-01-01 00:00 UTC",
        config={
            "name": "two-tower",
            "data": {"dataset": "ml-100k", "split": "leave_last_n"},
            "eval": {"exclude_seen": True},
        },
        data={},
        gate={
            "anomalies": 0,
            "findings": [],
            "drift": {"note": "no version is live yet"},
            "skew": {"divergences": {"ratings": 0.0123}},
        },
        training={
            "loss": [3.0, 2.0],
            "num_targets": 10,
            "train_seconds": 1.5,
            "targets_per_second": 100.0,
        },
        evaluation=evaluation,
        model_info={"corpus_size": 1682},
        not_servable=[],
        pushed_version="17",
        live_version=None,
        users=[user],
        steps=[StepTime("Trainer", "done", 12.34, "loss 3 -> 2")],
        lineage=[("Model (model)", "/artifacts/model/7"), ("code of Trainer", "ab12")],
    )


class _Links(HTMLParser):
    """Collects whatever a browser would follow or load, and checks the nesting."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [
            value or ""
            for name, value in attrs
            if name in {"href", "src", "xlink:href", "srcset", "data", "action"}
        ]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in {"p", "li", "tr", "td", "th", "thead", "tbody"}:
            while self.open[-1] != tag:
                self.open.pop()
        assert self.open.pop() == tag


@pytest.mark.parametrize("live", [None, 0.2])
def test_the_page_is_whole_and_loads_nothing(live: float | None) -> None:
    text = page.render(facts(live))
    links = _Links()
    links.feed(text)
    assert links.open == []
    assert links.links and all(link.startswith("#") for link in links.links)
    assert not re.search(r"@import|url\((?!#)|<script|<iframe|<link", text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert {link[1:] for link in links.links} <= set(ids)


def test_what_comes_from_outside_is_text() -> None:
    text = page.render(facts())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "User 4&lt;2" in text


def test_it_tells_the_run() -> None:
    text = page.render(facts(0.2))
    for expected in (
        *("Blessed, servable and pushed as version 17", "3.3x popularity"),
        *("Fargo (1996) ✓ watched next", "12.3", "/artifacts/model/7", "ab12"),
        *("no version is live yet", "ratings 0.012, Jensen-Shannon divergence"),
        *("live model", "+0.100 against the live model", "corpus_size"),
    ):
        assert expected in text
    assert text.count("<svg ") == 4  # two by cut-off, gender, training


def test_charts_are_in_the_colours_of_the_page() -> None:
    svgs = re.findall(r"<svg .*?</svg>", page.render(facts(0.2)), re.DOTALL)
    used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", "".join(svgs)))
    assert {"var(--candidate)", "var(--baseline)", "var(--ink)"} <= used
    assert not [colour for colour in used if colour.startswith("#")]
    assert all('role="img" aria-label="' in svg for svg in svgs)


def test_a_model_that_was_refused_says_why_and_what_stays_live() -> None:
    refused = dataclasses.replace(
        facts(0.4, blessed=False, reasons=["mrr is 0.1, but at least 0.2 is required"]),
        pushed_version=None,
        live_version="16",
        not_servable=["it is slow"],
    )
    text = page.render(refused)
    assert "Not blessed: version 16 stays live" in text
    assert "mrr is 0.1, but at least 0.2 is required" in text
    assert "not servable: it is slow" in text


def test_groups_of_users_that_are_served_apart_are_named() -> None:
    row = re.search(r"<tr><td>gender</td>.*?</tr>", page.render(facts()), re.DOTALL)
    assert row and "F (450)" in row[0] and "M (450)" in row[0]
    assert '<strong class="bad">yes</strong>' in row[0]


def test_an_evaluation_of_nothing_has_a_page_too() -> None:
    nothing = numbers(0.0, 0, None)
    for group in ("candidate", *_GROUPS):
        nothing[group] = {}
        nothing["intervals"][group] = {}
    text = page.render(facts(**nothing, slices=[], thresholds=[], blessed=False))
    assert "No slice has a query" in text
