from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pipeline.cli import main
from tests.fixtures.movielens_files import CSV_HEADER, write_csv


def two_tower(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_info_counts_and_splits_ones_own_files(tmp_path: Path) -> None:
    events = [(u, m, 4, 100 * m + u) for u in range(5) for m in range(1, 5)]
    folder = write_csv(tmp_path / "mine", [*events, events[0], (9, 1, 3, 7)])
    done = two_tower("data", "info", "--data-dir", folder, "--json")
    assert done.exit_code == 0, done.output
    summary = json.loads(done.stdout)
    assert summary["ratings"] == {
        "read": 22,
        "train": 15,
        "eval": 5,
        "filtered": 1,
        "duplicate": 1,
        "quarantined": 0,
    }
    assert (summary["users"], summary["movies"]) == (6, 6)
    assert summary["unrated_movies"] == 2
    assert (summary["first_timestamp"], summary["last_timestamp"]) == (7, 404)
    table = two_tower("data", "info", "--data-dir", folder).stdout
    assert "15 ratings" in table
    assert "1970-01-01" in table


def test_info_takes_the_edition_as_fetch_does(tmp_path: Path) -> None:
    events = [(u, m, 4, 100 * m + u) for u in range(5) for m in range(1, 5)]
    workspace = ("--workspace", tmp_path, "--json")
    (tmp_path / "workspace.json").write_text('{"format": 1}')
    write_csv(tmp_path / "data" / "ml-latest-small", events)
    done = two_tower("data", "info", "ml-latest-small", *workspace)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["ratings"]["read"] == 20
    done = two_tower("data", "info", "ml-99", *workspace)
    assert done.exit_code == 2 and "unknown dataset 'ml-99'" in done.output
    done = two_tower("data", "info", "ml-100k", "-d", "ml-1m", *workspace)
    assert done.exit_code == 2 and "not both" in done.output


def test_info_shows_bad_rows_instead_of_failing(tmp_path: Path) -> None:
    folder = write_csv(tmp_path, [])
    (folder / "ratings.csv").write_bytes(CSV_HEADER + b"1,1,4,5\n1,2,99,5\n1,3,4,5\n")
    done = two_tower("data", "info", "--data-dir", folder)
    assert done.exit_code == 0
    assert "rating: 1" in done.stdout
    assert "line 3: rating 99" in done.stdout


def test_usage_errors_exit_with_2_and_failures_with_1(tmp_path: Path) -> None:
    workspace = ("--workspace", tmp_path / "workspace")
    done = two_tower("data", "fetch", "ml-99", *workspace)
    assert done.exit_code == 2
    assert "unknown dataset 'ml-99'" in done.output
    assert not (tmp_path / "workspace").exists()
    done = two_tower("data", "info", "--data-dir", tmp_path)
    assert done.exit_code == 1
    assert "holds no MovieLens files" in done.output
    done = two_tower("data", "split-spans", tmp_path / "out", "--data-dir", tmp_path)
    assert done.exit_code == 2
    assert "one of --spans, --days and --every" in done.output


def test_made_up_data_is_cut_into_spans_that_info_reads(tmp_path: Path) -> None:
    made, spans = tmp_path / "made", tmp_path / "spans"
    options = ("--ratings", "2k", "--users", 100, "--movies", 100)
    done = two_tower("data", "synthesize", made, *options)
    assert done.exit_code == 0, done.output
    done = two_tower("data", "split-spans", spans, "--data-dir", made, "--spans", 3)
    assert done.exit_code == 0, done.output
    read = []
    for folder in (made, spans):
        done = two_tower("data", "info", "--data-dir", folder, "--json")
        read.append(json.loads(done.stdout)["ratings"])
    assert read[0] == read[1]
    done = two_tower(
        "data", "info", "--data-dir", spans, "--json", "--set", "data.last_span=4"
    )
    assert done.exit_code == 1
    assert "span-4 is missing" in done.output


@pytest.mark.real_data
def test_real_ml_100k_has_the_published_counts(tmp_path: Path) -> None:
    workspace = ("--workspace", tmp_path)
    assert two_tower("data", "fetch", "ml-100k", *workspace).exit_code == 0
    summary = json.loads(two_tower("data", "info", "--json", *workspace).stdout)
    found = {name: summary[name] for name in ("users", "movies")}
    assert {"ratings": summary["ratings"]["read"], **found} == summary["published"]
    assert summary["published"] == {"ratings": 100_000, "users": 943, "movies": 1_682}
    assert summary["rows"] == {"train": 1885, "eval": 943, "corpus": 1682, "known": 0}
    assert summary["odd_rows"]["titles_under_two_ids"] == 18
