"""`two-tower batch-recommend` on the model that the whole chain has pushed."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.serving.batch import choice
from pipeline.serving.batch.job import Filters
from pipeline.serving.batch.session import Request, run
from tests.conftest import Chain
from tests.fixtures.command import environment
from trainer.errors import UsageError, UserError
from trainer.serving_contract import CATALOGUE, SERVING_DEFAULT

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def serving(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A serving directory of its own, which later tests of the chain do not change."""
    folder = tmp_path_factory.mktemp("serving")
    version = Path(chain.first["pushed_model"]).name
    shutil.copytree(chain.workspace / "serving" / version, folder / version)
    return str(folder)


def request(serving: str, **options: Any) -> Request:
    return Request((choice.live_model(serving),), **{"shard_size": 64, **options})


def read(folder: Path) -> pa.Table:
    return pq.read_table(folder)


def test_every_user_gets_what_serving_default_answers(
    serving: str, tmp_path: Path
) -> None:
    import tensorflow as tf

    result = run(request(serving, k=7, workers=2, batch_size=50), str(tmp_path / "out"))
    assert result["users"] == 200
    assert result["written"] == result["shards"] == 4
    table = read(tmp_path / "out")
    version = choice.live_model(serving).version
    assert set(table["version"].to_pylist()) == {version}
    assert set(table["known"].to_pylist()) == {True}
    assert table.schema.field("written_at").type == pa.timestamp("us", tz="UTC")
    users = table["user_id"].to_pylist()
    assert len(set(users)) == 200
    model = tf.saved_model.load(f"{serving}/{version}")
    expected = SERVING_DEFAULT.call(model, user_id=users, k=[7] * len(users))
    assert table["movie_ids"].to_pylist() == [
        [movie.decode() for movie in row if movie] for row in expected["movie_ids"]
    ]
    scores = table["scores"].to_pylist()
    for row, (mine, theirs) in enumerate(zip(scores, expected["scores"], strict=True)):
        np.testing.assert_allclose(mine, theirs[: len(mine)], 1e-5, err_msg=users[row])


def test_filters_hold_for_every_user(serving: str, tmp_path: Path) -> None:
    import tensorflow as tf

    live = choice.live_model(serving)
    model = tf.saved_model.load(live.path)
    columns = CATALOGUE.call(model)
    movies = [movie.decode() for movie in columns["movie_id"]]
    genres = dict(zip(movies, columns["genres"], strict=True))
    comedies = [movie for movie in movies if b"Comedy" in genres[movie]]
    (tmp_path / "excluded").write_text(f"{comedies[0]}\n")
    asked = request(
        serving,
        k=61,
        filters=Filters(genres=("Comedy",), include_seen=True),
        exclude_file=tmp_path / "excluded",
    )
    run(asked, str(tmp_path / "out"))
    for row in read(tmp_path / "out").to_pylist():
        assert sorted(row["movie_ids"]) == sorted(comedies[1:])
    (tmp_path / "excluded").write_text("1\nno movie\n")
    with pytest.raises(UsageError, match=r"1 movies .*'no movie' \(line 2\)"):
        run(asked, str(tmp_path / "refused"))


# Kills the process when it is about to make the third shard visible.
_KILLED = """
import os, signal, sys
def hook(event, arguments):
    if event == "os.rename" and "part-00002-of" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
from pipeline.cli import main
main(sys.argv[1:])
"""


def test_a_killed_command_continues_with_what_is_missing(
    serving: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--serving-dir", serving, "--shard-size", "64"]
    command = [sys.executable, "-c", _KILLED, "batch-recommend", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    names = sorted(path.name for path in out.iterdir())
    parts = [name for name in names if name.startswith(".part-")]
    assert len(parts) == 1, "the shard that was being written"
    whole = [name for name in names if name.startswith("part-")]
    assert 0 < len(whole) < 4
    assert "_SUCCESS" not in names
    before = {name: (out / name).stat().st_mtime_ns for name in whole}

    for change in ({"k": 11}, {"filters": Filters(include_seen=True)}):
        with pytest.raises(UsageError, match=r"was begun with (k 10|include_seen fal)"):
            run(request(serving, **change), str(out))
    assert not (out / "_SUCCESS").exists()

    result = run(request(serving), str(out))
    assert result["written"] == 4 - len(whole)
    assert {name: (out / name).stat().st_mtime_ns for name in whole} == before
    assert not list(out.glob(".part-*"))
    run(request(serving), str(tmp_path / "at once"))
    at_once = read(tmp_path / "at once").drop(["written_at"])
    assert read(out).drop(["written_at"]).equals(at_once)
    content = json.loads((out / "_SUCCESS").read_text())
    assert content["arguments"]["model"]["model_id"] == chain_id(serving)
    assert run(request(serving), str(out))["written"] == 0


def chain_id(serving: str) -> str:
    return choice.live_model(serving).model_id


def test_a_shard_that_was_cut_off_is_written_again(
    serving: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(request(serving), str(out))
    shard = out / "part-00001-of-00004.parquet"
    content = shard.read_bytes()
    shard.write_bytes(content[:-20])
    (out / "part-00003-of-00004.parquet").unlink()
    assert run(request(serving), str(out))["written"] == 2
    assert read(out).num_rows == 200


def test_users_of_a_file_are_known_or_named_with_their_lines(
    serving: str, tmp_path: Path
) -> None:
    file = tmp_path / "users.txt"
    file.write_text("\ufeff7\r\n\nпользователь\n12\n7\n映画 \n")
    asked = request(serving, users_file=file, k=3)
    with pytest.raises(
        UsageError, match=r"2 users .*'пользователь' \(line 3\), '映画 '"
    ):
        run(asked, str(tmp_path / "refused"))
    assert not (tmp_path / "refused").exists()

    run(request(serving, users_file=file, k=3, unknown="skip"), str(tmp_path / "skip"))
    assert read(tmp_path / "skip")["user_id"].to_pylist() == ["7", "12"]

    asked = request(serving, users_file=file, k=3, unknown="answer")
    assert run(asked, str(tmp_path / "answer"))["unknown_users"] == 2
    rows = read(tmp_path / "answer").to_pylist()
    assert [row["user_id"] for row in rows] == ["7", "пользователь", "12", "映画 "]
    assert [row["known"] for row in rows] == [True, False, True, False]
    assert rows[1]["movie_ids"] == rows[3]["movie_ids"], "what a new user gets"
    assert all(len(row["movie_ids"]) == 3 for row in rows)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1\n\xff\n", "line 2: byte 1 is not UTF-8"),
        (b"1\na\0b\n", "line 2 has a null character"),
        (b"\n\n", "has no id"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_damaged_file_of_users_is_refused(
    serving: str, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "users").write_bytes(content)
    with pytest.raises(UsageError, match=message):
        run(request(serving, users_file=tmp_path / "users"), str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 62}, "-k is 62, but the model recommends from 1 to 61"),
        ({"k": 0}, "-k is 0"),
        ({"batch_size": 2000}, "answers at most 1,024 rows"),
        ({"filters": Filters(genres=("comedy",))}, "'comedy'.*Did you mean Comedy"),
        ({"filters": Filters(first_year=2000, last_year=1990)}, "is after"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_written(
    serving: str, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run(request(serving, **options), str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_models_that_do_not_exist_are_refused(serving: str) -> None:
    with pytest.raises(UsageError, match="has no complete version '7'"):
        choice.model_of_version(serving, "7")
    with pytest.raises(UsageError, match="no label 'best'. Known: stable, canary"):
        choice.model_of_label(serving, "best")
    with pytest.raises(UsageError, match="has the label canary"):
        choice.model_of_label(serving, "canary")


def test_other_files_in_the_folder_are_left_alone(serving: str, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("x")
    with pytest.raises(UsageError, match="holds other files, such as precious"):
        run(request(serving), str(tmp_path))
    with pytest.raises(UsageError, match="is a file"):
        run(request(serving), str(tmp_path / "precious"))
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


@contextlib.contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """What a full disk does to a file: it cannot grow."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_shard_that_cannot_be_written_leaves_nothing_that_looks_whole(
    serving: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with no_file_above(5000), pytest.raises(UserError) as raised:
        run(request(serving, k=50), str(out))
    assert "\n" not in str(raised.value)
    assert "File too large" in str(raised.value)
    assert not list(out.glob("part-*"))
    assert not list(out.glob(".part-*"))
    assert not (out / "_SUCCESS").exists()


def test_two_commands_do_not_write_one_folder(serving: str, tmp_path: Path) -> None:
    from pipeline.serving.batch.folder import BatchFolder

    with BatchFolder(str(tmp_path)).locked():
        with pytest.raises(UserError, match="Another command writes"):
            run(request(serving), str(tmp_path))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(serving: str, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="cannot be written: Permission denied"):
        run(request(serving), str(tmp_path / "out"))
