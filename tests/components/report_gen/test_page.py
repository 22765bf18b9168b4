"""The page of a run: its content, its HTML, and that it loads nothing."""

from __future__ import annotations

import dataclasses
import errno
import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from tfx.types import standard_artifacts

from components.pusher import PUSHED_VERSION
from components.report_gen import page
from components.report_gen.component import _report_error
from components.report_gen.facts import StepTime
from pipeline.local.failures import explain
from tests.fixtures.report_facts import GROUPS, facts, numbers
from trainer.text import has_control_characters, printable


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
def test_the_page_is_well_formed_and_loads_nothing(live: float | None) -> None:
    text = page.render(facts(live))
    links = _Links()
    links.feed(text)
    assert links.open == []
    assert links.links and all(link.startswith("#") for link in links.links)
    assert not re.search(r"@import|url\((?!#)|<script|<iframe|<link", text)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert {link[1:] for link in links.links} <= set(ids)


def test_titles_and_ids_are_escaped() -> None:
    text = page.render(facts())
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "User 4&lt;2" in text


def test_the_page_shows_the_run() -> None:
    text = page.render(facts(0.2))
    for expected in (
        *("Blessed, servable and pushed as version 17", "3.3x popularity"),
        *("Fargo (1996) ✓ watched next", "12.3", "/artifacts/model/7", "ab12"),
        *("no version is live yet", "ratings 0.012, Jensen-Shannon divergence"),
        *("live model", "+0.100 against the live model", "corpus size 1682"),
    ):
        assert expected in text
    assert text.count("<svg ") == 4  # two by cut-off, gender, training


def test_training_shows_the_validation_where_there_is_one() -> None:
    validated = {"recall": [0.1, 0.2, 0.15], "best_epoch": 2, "loss": [3.0, 2.0, 1.0]}
    plain = facts()
    text = page.render(
        dataclasses.replace(plain, training={**plain.training, **validated})
    )
    assert "loss, recall@10 by epoch" in text
    assert "the weights are those of epoch 2" in text
    assert "recall@10 by epoch" not in page.render(plain)


def test_steps_have_their_times_if_the_runner_recorded_them() -> None:
    steps = [
        StepTime("Transform", "done", 5.0),
        StepTime("Trainer", "done", 20),
    ]
    text = page.render(dataclasses.replace(facts(), steps=steps))
    assert "<td>Transform</td><td>done</td>" in text
    assert re.findall(r"<i style=\"width: ([\d.]+)%\"", text) == ["25.0", "100.0"]
    assert 'steps may run side by side</td><td class="n">25.0<' in text
    alone = page.render(dataclasses.replace(facts(), steps=[]))
    assert "The runner did not record how long the steps took" in alone


def test_rows_that_were_repaired_or_quarantined_are_counted() -> None:
    data = {
        **{"spans": [1, 2], "format": "csv", "users": 9, "movies": 8, "cold_users": 3},
        **{"unrated_movies": 1, "first_timestamp": 0, "last_timestamp": 86400},
        "cold_movie_holdouts": 4,
        "rows": {"train": 5},
        "ratings": {"read": 1234, "quarantined": 7},
        "odd_rows": {"movies_without_year": 6},
        "bad_rows": {"rating": 7},
    }
    text = page.render(dataclasses.replace(facts(), data=data))
    one_folder = dataclasses.replace(facts(), data={**data, "spans": [0]})
    assert "none: one folder" in page.render(one_folder)
    for expected in (
        *("1, 2", "1970-01-01 00:00 UTC to 1970-01-02", "read 1,234, quarantined 7"),
        *("rating 7", "movies without year 6", "4 held-out ratings", "(3 cold)"),
        "3 users had no history when they were asked",
    ):
        assert expected in text


def test_the_page_says_why_drift_was_not_measured_again() -> None:
    """A step that succeeded is not run again for the same data."""
    assert "no version is live yet" in page.render(facts())
    later = page.render(dataclasses.replace(facts(0.2), live_version="16"))
    assert "passed the gate before version 16 went live" in later
    assert "no version is live yet" not in later


def test_the_card_compares_the_tail_with_the_head() -> None:
    parts = [
        {"features": {"held_out_popularity": name}, **numbers(value, 400, None)}
        for name, value in (("head", 0.4), ("tail", 0.2))
    ]
    text = page.render(facts(slices=parts))
    assert "is 0.200 (0.150 to 0.250) for them and 0.400 (0.350 to 0.450)" in text


def test_the_card_compares_liked_movies_with_the_others() -> None:
    parts = [
        {"features": {"held_out_opinion": name}, **numbers(value, 400, None)}
        for name, value in (("liked", 0.4), ("not_liked", 0.2))
    ]
    text = page.render(facts(slices=parts))
    assert "is 0.400 (0.350 to 0.450) for held-out movies that the user liked" in text
    assert "that the user liked" not in page.render(facts(slices=parts[:1]))


def test_charts_are_in_the_colours_of_the_page() -> None:
    svgs = re.findall(r"<svg .*?</svg>", page.render(facts(0.2)), re.DOTALL)
    used = set(re.findall(r"(?:fill|stroke): ([^;\"]+)", "".join(svgs)))
    assert {"var(--candidate)", "var(--baseline)", "var(--ink)"} <= used
    assert not [colour for colour in used if colour.startswith("#")]
    assert all('role="img" aria-label="' in svg for svg in svgs)


def test_the_page_says_why_a_model_was_refused_and_what_stays_live() -> None:
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


def test_the_page_says_that_a_model_waits_for_approval() -> None:
    waiting = dataclasses.replace(facts(), pushed_version=None, awaits_approval=True)
    assert "Blessed and servable: awaiting approval" in page.render(waiting)


def test_groups_of_users_with_different_metrics_are_named() -> None:
    row = re.search(r"<tr><td>gender</td>.*?</tr>", page.render(facts()), re.DOTALL)
    assert row and "F (450)" in row[0] and "M (450)" in row[0]
    assert '<strong class="bad">yes</strong>' in row[0]


def test_an_evaluation_without_queries_has_a_page_too() -> None:
    nothing = numbers(0.0, 0, None)
    for group in ("candidate", *GROUPS):
        nothing[group] = {}
        nothing["intervals"][group] = {}
    text = page.render(facts(**nothing, slices=[], thresholds=[], blessed=False))
    assert "No slice has a query" in text


@pytest.mark.parametrize("live", [None, 0.2])
def test_headline_values_are_those_of_the_evaluation(live: float | None) -> None:
    summary = facts(live).evaluation
    summary["popularity_lift"]["mrr"] = None  # popularity found nothing
    values = page.headline_values(summary)
    expected = {
        "hit_rate@10": 0.3,
        "ndcg@10": 0.3,
        "mrr": 0.3,
        "coverage@10": 0.5,
        "hit_rate@10 lift over popularity": 0.3,
        "ndcg@10 lift over popularity": 0.3,
    }
    if live is not None:
        names = ("hit_rate@10", "ndcg@10", "mrr")
        expected |= {f"{name} gain over live model": 0.3 - live for name in names}
    assert values == expected


HOSTILE = [
    *("A$_$B", "$\\frac{", "$x$", "\\alpha", "${x}", "#010101", 'a"b', "<b>&amp;</b>"),
    *("]]><script>", "-->", "{{ x }}", "a\x1b[2Jb", "a\u202eb", "\ud800", "x" * 5000),
]


@pytest.mark.parametrize("value", HOSTILE)
def test_text_from_data_is_shown_as_text(value: str) -> None:
    slices = [
        {"features": {name: group}, **numbers(0.1, 450, None)}
        for name in ("occupation", "held_out_genres", 'a"<b>')
        for group in (value, "other")
    ]
    plain = facts(slices=slices, reasons=[value])
    user = dataclasses.replace(plain.users[0], user_id=value, held_out=[value])
    text = page.render(
        dataclasses.replace(plain, users=[user], lineage=[(value, value)])
    )
    links = _Links()
    links.feed(text)
    assert links.open == []
    assert not re.search("<script|<b>&amp;</b>", text)
    assert not has_control_characters(text.replace("\n", ""))
    text.encode("utf-8")
    shown = printable(value)[:30]
    # The list of reasons, and the labels of two charts.
    assert html.unescape(text).count(shown) >= 3


def test_ratings_are_shown_in_their_unit() -> None:
    plain = facts()
    assert "4.5★" in page.render(plain)
    data = {**plain.config["data"], "rating_scale": [1, 10, 1]}
    ten = dataclasses.replace(plain, config={**plain.config, "data": data})
    assert "4.5 of 10" in page.render(ten)


def test_a_report_that_fails_says_what_is_live(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pushed = standard_artifacts.PushedModel()
    assert "No model was pushed" in str(_report_error(ValueError("x"), pushed))
    pushed.set_string_custom_property(PUSHED_VERSION, "17")
    error = explain(_report_error(ValueError("broken chart"), pushed))
    assert "broken chart" in error.message
    assert "Version 17 was pushed before and is live" in error.remedy
    full = OSError(errno.ENOSPC, "No space left on device")
    assert _report_error(full, pushed) is full  # the runner explains it
    assert "Version 17 was pushed before and is live" in caplog.text
