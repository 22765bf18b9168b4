"""What is live: from "not there" to what cannot be read, on disk and in a store."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from components.serving_directory import (
    PUSH_FILE,
    REFERENCE_FILE,
    STATISTICS_FILE,
    Push,
    Reference,
    complete_versions,
    drift_reference,
    live_version,
    missing_file,
    read_push,
)
from components.serving_directory.folders import copy_folder
from tests.fixtures.served_versions import graph, make_model
from tests.fixtures.tiny_model import save_tiny_model
from trainer.errors import UserError


def test_the_latest_version_is_the_highest_number_not_the_last_name(
    tmp_path: Path,
) -> None:
    for name in ("9", "10", "2"):
        make_model(tmp_path / name)
    assert live_version(str(tmp_path)) == "10"
    assert complete_versions(str(tmp_path)) == ["2", "9", "10"]


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir()])
def test_without_a_folder_or_a_version_nothing_is_live(tmp_path, make) -> None:
    make(tmp_path / "serving")
    assert live_version(str(tmp_path / "serving")) is None


def test_what_a_server_ignores_is_no_version(tmp_path: Path) -> None:
    make_model(tmp_path / "1")
    for name in ("8.tmp", "latest", ".pushing-7", "²", str(2**63)):
        make_model(tmp_path / name)
    (tmp_path / "9").write_text("a file")
    assert complete_versions(str(tmp_path)) == ["1"]


def test_a_version_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "serving").mkdir()
    (tmp_path / "serving" / "3").symlink_to(make_model(tmp_path / "elsewhere"))
    assert live_version(str(tmp_path / "serving")) == "3"


FILES = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00002",
    "variables/variables.data-00001-of-00002",
)


@pytest.mark.parametrize("how", ["absent", "empty", "cut off"])
@pytest.mark.parametrize("file", FILES)
def test_a_version_is_complete_when_each_of_its_files_is(
    tmp_path: Path, file: str, how: str
) -> None:
    folder = make_model(tmp_path / "2", num_shards=2)
    assert missing_file(str(folder)) is None
    path = folder / file
    if how == "absent":
        path.unlink()
    else:
        path.write_bytes(b"" if how == "empty" else path.read_bytes()[:-1])
    assert missing_file(str(folder)) == file


@pytest.mark.parametrize("file", FILES[:2])
@pytest.mark.parametrize("content", [b"garbage", bytes(500), b"\xff" * 500])
def test_garbage_is_not_complete(tmp_path: Path, file: str, content: bytes) -> None:
    folder = make_model(tmp_path / "2")
    (folder / file).write_bytes(content)
    assert missing_file(str(folder)) == file


@pytest.fixture(scope="module")
def real_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SavedModel by TensorFlow, with a table and many variables."""
    folder = tmp_path_factory.mktemp("real") / "model"
    save_tiny_model(str(folder))
    return folder


@pytest.mark.parametrize("share", [0.01, 0.3, 0.6, 0.9, 0.999])
def test_a_real_model_that_is_cut_off_anywhere_is_not_complete(
    tmp_path: Path, real_model: Path, share: float
) -> None:
    files = [FILES[0], FILES[1], "variables/variables.data-00000-of-00001"]
    assert missing_file(str(real_model)) is None
    for file in files:
        folder = tmp_path / "copy"
        shutil.copytree(real_model, folder)
        content = (folder / file).read_bytes()
        (folder / file).write_bytes(content[: int(share * len(content))])
        assert missing_file(str(folder)) == file
        shutil.rmtree(folder)


@given(st.binary(max_size=200))
def test_no_content_of_an_index_is_an_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    folder = make_model(tmp_path_factory.mktemp("any") / "2")
    path = folder / "variables" / "variables.index"
    for index in (content, content + path.read_bytes()[-48:]):
        path.write_bytes(index)
        missing_file(str(folder))
    shutil.rmtree(folder)


def test_many_variables_are_all_counted(tmp_path: Path) -> None:
    """An index of several blocks of 256 KiB."""
    names = sorted(hashlib.sha512(b"%d" % number).hexdigest() for number in range(3000))
    path = str(tmp_path / "2" / "variables" / "variables")
    (tmp_path / "2" / "variables").mkdir(parents=True)
    tf.raw_ops.SaveV2(
        prefix=path,
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.constant(1)] * len(names),
    )
    (tmp_path / "2" / "saved_model.pb").write_bytes(graph("saver_filename"))
    data = Path(f"{path}.data-00000-of-00001")
    assert Path(f"{path}.index").stat().st_size > 300_000
    assert missing_file(str(tmp_path / "2")) is None
    data.write_bytes(data.read_bytes()[:-4])
    assert missing_file(str(tmp_path / "2")) == f"variables/{data.name}"


def test_a_model_without_variables_is_complete_without_them(tmp_path: Path) -> None:
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "saved_model.pb").write_bytes(graph("constants"))
    assert live_version(str(tmp_path)) == "1"
    # But a copy that has not come to its variables yet is none.
    (tmp_path / "1" / "saved_model.pb").write_bytes(graph("save/restore_all"))
    assert missing_file(str(tmp_path / "1")) == "variables/variables.index"


@given(st.permutations(FILES[:2] + ("variables/variables.data-00000-of-00001",)))
def test_in_whatever_order_a_version_is_copied_it_counts_when_it_is_whole(
    tmp_path_factory: pytest.TempPathFactory, order: list[str]
) -> None:
    serving = tmp_path_factory.mktemp("serving")
    whole = make_model(serving / "model")
    make_model(serving / "1")
    (serving / "2" / "variables").mkdir(parents=True)
    for number, name in enumerate(order):
        assert live_version(str(serving)) == "1", order[:number]
        shutil.copy(whole / name, serving / "2" / name)
    assert live_version(str(serving)) == "2"
    shutil.rmtree(serving)


def test_versions_of_which_none_is_complete_are_an_error_that_names_the_newest(
    tmp_path: Path,
) -> None:
    for name in ("6", "7"):
        (tmp_path / name).mkdir()
    with pytest.raises(UserError, match=r"/7 has no complete saved_model\.pb"):
        live_version(str(tmp_path))


def test_a_push_to_a_store_that_was_interrupted_is_no_error(tmp_path: Path) -> None:
    """Pusher itself knows that it has not pushed anything yet."""
    push = tmp_path / "7" / PUSH_FILE
    push.parent.mkdir(parents=True)
    fields = ("model_id", "replaced", "replaced_model_id", "compared_with")
    text = ", ".join(f'"{name}": "x"' for name in (*fields, "pushed_at", "run_id"))
    push.write_text(f"{{{text}}}")
    assert live_version(str(tmp_path)) is None


def test_a_version_of_our_own_that_is_cut_off_is_damaged(tmp_path: Path) -> None:
    """A push is complete before it is visible, or lacks files: it cuts none off."""
    _serve(tmp_path, "7", b"a", None)
    path = tmp_path / "7" / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match=r"no complete saved_model\.pb.* damaged"):
        live_version(str(tmp_path))
    make_model(tmp_path / "6")
    assert live_version(str(tmp_path)) == "6"


def _a_file(path: Path) -> None:
    path.write_text("")


def _below_a_file(path: Path) -> None:
    path.parent.rmdir()
    path.parent.write_text("")


def _a_link_to_nothing(path: Path) -> None:
    path.symlink_to("unmounted")


def _a_link_to_itself(path: Path) -> None:
    path.symlink_to(path.name)


@pytest.mark.parametrize(
    ("make", "cause"),
    [
        (_a_file, "Not a directory"),
        (_below_a_file, "Not a directory"),
        (_a_link_to_nothing, "is a link to unmounted, which does not exist"),
        (_a_link_to_itself, "Too many levels of symbolic links"),
    ],
)
def test_only_what_is_not_there_counts_as_not_there(tmp_path, make, cause) -> None:
    (tmp_path / "below").mkdir()
    path = tmp_path / "below" / "serving"
    make(path)
    with pytest.raises(UserError, match=re.escape(cause)) as raised:
        live_version(str(path))
    assert str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_an_object_store_is_read_alike(tmp_path: Path) -> None:
    """TensorFlow's own store in memory stands for gs://: it renames no folders."""
    root = "ram://serving-directory"
    assert live_version(root) is None
    copy_folder(str(make_model(tmp_path / "model")), f"{root}/5")
    assert live_version(root) == "5"
    with tf.io.gfile.GFile("ram://a-file", "w") as file:
        file.write("x")
    with pytest.raises(UserError, match="cannot be read"):
        live_version("ram://a-file")


def test_a_store_that_cannot_be_opened_is_an_error() -> None:
    with pytest.raises(UserError, match="unknown://bucket/serving.* cannot be read"):
        live_version("unknown://bucket/serving")


def _serve(
    serving: Path, version: str, statistics: bytes, reference: Reference | None
) -> None:
    """Puts a version there, as Pusher does, whose data was compared with another's."""
    folder = make_model(serving / version)
    push = Push("id", None, None, reference.version if reference else None, "", "")
    (folder / PUSH_FILE).parent.mkdir()
    (folder / PUSH_FILE).write_text(json.dumps(dataclasses.asdict(push)))
    (folder / STATISTICS_FILE).write_bytes(statistics)
    if reference and reference.statistics is not None:
        (folder / REFERENCE_FILE).write_bytes(reference.statistics)


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), min_size=1, max_size=6))
def test_data_is_compared_alike_before_and_after_its_model_is_pushed(
    tmp_path_factory: pytest.TempPathFactory, pushed: list[bytes]
) -> None:
    """Else DataGate would run again in a run without a change."""
    serving = tmp_path_factory.mktemp("serving")
    for number, data in enumerate(pushed, start=1):
        before = drift_reference(str(serving), data)
        assert before is None or before.statistics != data
        _serve(serving, str(number), data, before)
        assert drift_reference(str(serving), data) == before
    shutil.rmtree(serving)


def test_data_is_compared_with_that_of_the_version_that_is_live_now(
    tmp_path: Path,
) -> None:
    for version, data in (("1", b"a"), ("2", b"b")):
        _serve(tmp_path, version, data, drift_reference(str(tmp_path), data))
    assert drift_reference(str(tmp_path), b"new") == Reference("2", b"b")
    shutil.rmtree(tmp_path / "2")  # a rollback by hand
    assert drift_reference(str(tmp_path), b"new") == Reference("1", b"a")
    make_model(tmp_path / "3")  # of another program, without statistics
    assert drift_reference(str(tmp_path), b"new") == Reference("3", None)


@pytest.mark.parametrize(
    "change",
    [
        {"model_id": ["a", "list"]},
        {"replaced": 5},
        {"compared_with": {}},
        {"model_id": None},
        {"run_id": True},
    ],
)
def test_a_record_with_values_of_other_types_counts_as_none(
    tmp_path: Path, change: dict[str, object]
) -> None:
    push = Push("id", "1", "other", None, "", "")
    path = tmp_path / PUSH_FILE
    path.parent.mkdir()
    path.write_text(json.dumps(dataclasses.asdict(push)))
    assert read_push(str(tmp_path)) == push
    path.write_text(json.dumps(dataclasses.asdict(push) | change))
    assert read_push(str(tmp_path)) is None
