from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.movielens_example_gen import ingest
from components.movielens_example_gen.inputs import spans
from components.movielens_example_gen.inputs.spans import SpanFiles, content_fingerprint
from pipeline.config import DataConfig
from tests.fixtures.movielens_files import write_csv
from trainer.errors import UserError

EVENTS = [(1, 1, 4, 1), (1, 2, 4, 2), (1, 3, 4, 3)]


def numbered(base: Path, numbers: list[int]) -> Path:
    for n in numbers:
        write_csv(base / f"span-{n}", [(n, m, 4, 100 * n + m) for m in (1, 2, 3)])
    return base


def trained_on(found: tuple[SpanFiles, ...]) -> list[int]:
    return [span.span for span in found if span.in_window]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [2, 3, 4, 10, 11]),
        ({"span_window": 2}, [10, 11]),
        ({"last_span": "4", "span_window": 2}, [3, 4]),
        ({"last_span": "3", "span_window": 9}, [2, 3]),
        ({"first_span": "3", "last_span": "4"}, [3, 4]),
    ],
)
def test_window_and_range_count_in_numbers(
    tmp_path: Path, settings: dict[str, object], expected: list[int]
) -> None:
    numbered(tmp_path, [10, 2, 11, 4, 3] + ([5, 6, 7, 8, 9] if not settings else []))
    if not settings:
        expected = list(range(2, 12))
    assert trained_on(spans.resolve(tmp_path, DataConfig(**settings))) == expected


@pytest.mark.parametrize(
    "settings", [{"last_span": "2026-03-01"}, {"first_span": "2"}, {"span_window": 3}]
)
def test_a_span_of_a_folder_without_spans_is_an_error(
    tmp_path: Path, settings: dict[str, object]
) -> None:
    write_csv(tmp_path, EVENTS)
    [(name, value)] = settings.items()
    with pytest.raises(UserError, match=rf"data\.{name} is {value}, but .* no spans"):
        spans.resolve(tmp_path, DataConfig(**settings))


def test_missing_numbers_are_named(tmp_path: Path) -> None:
    numbered(tmp_path, [1, 2, 4])
    with pytest.raises(UserError, match="^span-3 is missing in"):
        spans.resolve(tmp_path, DataConfig())
    with pytest.raises(UserError, match="span-7 is missing.*Found span-1, span-2"):
        spans.resolve(tmp_path, DataConfig(last_span="7", span_window=1))

    with pytest.raises(UserError, match="'2026-03-01' does not fit the pattern span"):
        spans.resolve(tmp_path, DataConfig(last_span="2026-03-01"))
    with pytest.raises(UserError, match="first span, span-4, comes after the last"):
        spans.resolve(tmp_path, DataConfig(first_span="4", last_span="2"))


@pytest.mark.parametrize(
    ("numbers", "window", "missing", "trained"),
    [
        ([1, 2, 10], 2, "span-9", [2, 10]),
        ([1, 2, 4], None, "span-3", [1, 2, 4]),
        ([1, 5, 7], 3, "span-6", [1, 5, 7]),
        ([1, 3, 5, 7, 9, 11, 13], 99, "1 earlier gaps, span-4,.*span-12", None),
        ([1, 10**12], None, f"span-2 to span-{10**12 - 1}", [1, 10**12]),
    ],
)
def test_missing_numbers_fail_or_are_skipped_and_named(
    tmp_path: Path,
    numbers: list[int],
    window: int | None,
    missing: str,
    trained: list[int] | None,
) -> None:
    numbered(tmp_path, numbers)
    with pytest.raises(UserError, match=f"{missing} is missing in") as error:
        spans.resolve(tmp_path, DataConfig(span_window=window))
    assert "data.missing_spans=skip" in str(error.value)
    config = DataConfig(span_window=window, missing_spans="skip")
    assert trained_on(spans.resolve(tmp_path, config)) == (trained or numbers)


def test_skipped_spans_are_named_in_log_and_summary(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    numbered(tmp_path, [1, 2, 10])
    config = DataConfig(span_window=2, missing_spans="skip")
    summary = ingest.prepare(tmp_path, config).summary()
    assert summary["spans"] == [2, 10]
    assert summary["older_spans"] == [1]
    assert summary["missing_spans"] == ["span-3 to span-9"]
    assert "span-3 to span-9" in caplog.text


def test_ratings_beside_spans_are_refused_with_both_names(tmp_path: Path) -> None:
    numbered(tmp_path, [1, 2])
    write_csv(tmp_path, EVENTS)
    with pytest.raises(
        UserError, match=r"twice: in ratings\.csv and in the span span-1"
    ):
        spans.resolve(tmp_path, DataConfig())


@pytest.mark.parametrize(
    ("folders", "named"),
    [
        (["span-1", "2026-01-01"], "span-1 and 2026-01-01"),
        (["span-1/version-1", "span-2"], "span-1/version-1 and span-2"),
        (["2026-01-01/v1", "2026-01-02"], "2026-01-01/v1 and 2026-01-02"),
        (["span-1/version-1", "span-1/v2"], "span-1/version-1 and span-1/v2"),
        (["span-1", "span-01"], "span-01 and span-1"),
    ],
)
def test_no_span_is_ignored_because_others_have_other_names(
    tmp_path: Path, folders: list[str], named: str
) -> None:
    for folder in folders:
        write_csv(tmp_path / folder, EVENTS)
    with pytest.raises(UserError, match=named):
        spans.resolve(tmp_path, DataConfig())


def test_numbers_of_spans_may_be_long(tmp_path: Path) -> None:
    for number in (20260301120000, 20260302120000):
        events = [(1, m, 4, number // 10**6 + m) for m in (1, 2, 3)]
        write_csv(tmp_path / f"span-{number}", events)
    config = DataConfig(span_window=1, missing_spans="skip")
    prepared = ingest.prepare(tmp_path, config)
    assert prepared.summary()["spans"] == [20260302120000]
    assert prepared.timelines.counts["train"] == 2


def test_dates_need_not_run_on_but_the_last_must_be_there(tmp_path: Path) -> None:
    for day in ("2026-02-27", "2026-03-01", "2026-03-02"):
        write_csv(tmp_path / day, EVENTS)
    found = spans.resolve(tmp_path, DataConfig(span_window=2, last_span="2026-03-01"))
    assert len(trained_on(found)) == 2
    assert found[-1].span == 20_513  # days since 1970-01-01
    with pytest.raises(UserError, match="^2026-03-03 is missing"):
        spans.resolve(tmp_path, DataConfig(last_span="2026-03-03"))


def test_the_newest_version_counts_in_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1" / "version-2", EVENTS[:1])
    write_csv(tmp_path / "span-1" / "version-10", EVENTS[:2])
    (found,) = spans.resolve(tmp_path, DataConfig())
    assert found.version == 10
    assert found.files.ratings[0].parent.name == "version-10"


def test_pattern_of_ones_own(tmp_path: Path) -> None:
    write_csv(tmp_path / "week_007_x", EVENTS)
    config = DataConfig(span_pattern="week_{SPAN}_x")
    assert spans.resolve(tmp_path, config)[0].span == 7
    with pytest.raises(UserError, match="must have either {SPAN} or all of"):
        spans.resolve(tmp_path, DataConfig(span_pattern="week_{YYYY}"))


def test_movie_of_a_newer_file_joins_the_corpus_and_a_newer_title_wins(
    tmp_path: Path,
) -> None:
    write_csv(tmp_path / "span-1", EVENTS)
    write_csv(tmp_path / "span-2", EVENTS[:1], [3, 777])
    (tmp_path / "span-2" / "movies.csv").write_bytes(
        b"movieId,title,genres\n777,Nobody rated me (2026),Drama\n"
        b"1,New name (1999),War\n"
    )
    data = ingest.prepare(tmp_path, DataConfig()).data
    assert data.movies[b"777"].title == "Nobody rated me (2026)"
    assert data.movies[b"1"].title == "New name (1999)"
    # Older movies are known although the window has only the newest span's ratings.
    window = ingest.prepare(tmp_path, DataConfig(span_window=1)).data
    assert set(window.movies) == set(data.movies)
    assert window.num_read == len(EVENTS) + 1


def test_movies_file_beside_the_spans_serves_all(tmp_path: Path) -> None:
    write_csv(tmp_path / "span-1", EVENTS, [])
    write_csv(tmp_path / "span-2", EVENTS, [])
    with pytest.raises(UserError, match="has no movies"):
        spans.resolve(tmp_path, DataConfig())
    write_csv(tmp_path / "all", [])
    os.rename(tmp_path / "all" / "movies.csv", tmp_path / "movies.csv")
    assert len(ingest.prepare(tmp_path, DataConfig()).data.movies) == 6


def test_span_without_ratings_is_an_error(tmp_path: Path) -> None:
    numbered(tmp_path, [1, 2])
    (tmp_path / "span-3").mkdir()
    with pytest.raises(UserError, match="span-3 holds no ratings"):
        spans.resolve(tmp_path, DataConfig())


def test_fingerprint_is_of_the_contents_of_all_readable_spans(tmp_path: Path) -> None:
    numbered(tmp_path, [1, 2, 3, 4])
    config = DataConfig(span_window=2, last_span="3")
    before = content_fingerprint(tmp_path, config)
    os.utime(tmp_path / "span-2" / "ratings.csv", (1, 1))
    (tmp_path / "span-4" / "ratings.csv").write_bytes(b"after the last")
    (tmp_path / "span-3" / "links.csv").write_bytes(b"not read")
    assert content_fingerprint(tmp_path, config) == before
    for number in (1, 2):  # before the window, and in it
        older = tmp_path / f"span-{number}" / "ratings.csv"
        row = b"%d,1,4" % number
        older.write_bytes(older.read_bytes().replace(row, row[:-1] + b"5"))
        changed = content_fingerprint(tmp_path, config)
        assert changed != before
        before = changed
    assert content_fingerprint(tmp_path, DataConfig()) != before


def test_range_and_window_exclude_each_other_and_ids_are_checked() -> None:
    assert DataConfig(last_span=12).last_span == "12"  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="a range or a window"):
        DataConfig(first_span="1", span_window=2)
    with pytest.raises(ValidationError, match="last_span"):
        DataConfig(last_span="yesterday")


@pytest.mark.parametrize(
    "pattern",
    ["/span-{SPAN}", "../span-{SPAN}", "span-{SPAN}/", "a//{SPAN}", "{SPAN}-{SPAN}"],
)
def test_patterns_that_no_folder_can_match_are_refused(
    tmp_path: Path, pattern: str
) -> None:
    numbered(tmp_path / "data", [1])
    numbered(tmp_path, [1])
    with pytest.raises(UserError, match="must name folders within the data folder"):
        spans.resolve(tmp_path / "data", DataConfig(span_pattern=pattern))


def test_wildcards_of_the_shell_are_characters_of_a_pattern(tmp_path: Path) -> None:
    numbered(tmp_path, [1]).joinpath("span-1").rename(tmp_path / "a[1]*-1")
    numbered(tmp_path / "deeper", [2])
    found = spans.resolve(tmp_path, DataConfig(span_pattern="a[1]*-{SPAN}"))
    assert trained_on(found) == [1]
    with pytest.raises(UserError, match="no spans"):
        spans.resolve(tmp_path, DataConfig(span_pattern="**/span-{SPAN}"))


@pytest.mark.parametrize("name", [f"span-{10**19}", f"span-1/version-{10**19}"])
def test_numbers_that_no_artifact_can_record_are_refused(
    tmp_path: Path, name: str
) -> None:
    write_csv(tmp_path / name, EVENTS)
    with pytest.raises(UserError, match="a number of more than 64 bits"):
        spans.resolve(tmp_path, DataConfig())
