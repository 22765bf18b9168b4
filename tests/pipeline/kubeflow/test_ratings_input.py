"""The ratings as files of the step, wherever they are stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kubeflow.ratings_input import local_input
from tests.fixtures.lazy import lazily
from trainer.errors import UserError


@pytest.mark.slow
def test_ratings_are_copied_from_where_tensorflow_reads(tmp_path: Path) -> None:
    """`ram://` stands for gs://: neither is a local path."""
    copy_remote = lazily("pipeline.kubeflow.ratings_input", "copy_remote")
    gfile = lazily("tensorflow", "io").gfile
    gfile.makedirs("ram://bucket/data/span-1")
    with gfile.GFile("ram://bucket/data/span-1/ratings.csv", "w") as out:
        out.write("userId")
    assert copy_remote("ram://bucket/data/", str(tmp_path / "in")) == str(
        tmp_path / "in"
    )
    assert (tmp_path / "in" / "span-1" / "ratings.csv").read_text() == "userId"
    assert copy_remote("/mnt/data", str(tmp_path)) == "/mnt/data"


def test_an_empty_download_names_the_bucket(tmp_path: Path) -> None:
    def imported(folder: Path) -> str:
        ratings = {"artifacts": [{"uri": str(folder)}]}
        values = {"input_base": "s3://lake/ml"}
        inputs = {"parameterValues": values, "artifacts": {"ratings": ratings}}
        found = local_input(inputs, "unused")
        # TFX does not know this input.
        assert inputs["artifacts"] == {}
        return found

    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match="s3://lake/ml holds no files"):
            imported(folder)
    (tmp_path / "ratings.csv").touch()
    assert imported(tmp_path) == str(tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["ram://none", "minio://bucket/data"])
def test_a_folder_that_cannot_be_read_is_named(uri: str, tmp_path: Path) -> None:
    copy_remote = lazily("pipeline.kubeflow.ratings_input", "copy_remote")
    with pytest.raises(UserError, match=uri):
        copy_remote(uri, str(tmp_path))


@pytest.mark.slow
def test_a_store_that_does_not_answer_is_not_an_empty_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = lazily("tensorflow", "errors")

    def refuse(path: str) -> None:
        raise errors.UnavailableError(None, None, f"could not\nconnect for {path}")

    monkeypatch.setattr("tensorflow.io.gfile.stat", refuse)
    with pytest.raises(UserError, match="gs://b/x cannot be read: could not connect"):
        local_input({"parameterValues": {"input_base": "gs://b/x"}}, str(tmp_path))


@pytest.mark.slow
def test_an_object_whose_key_leaves_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tensorflow.io.gfile.stat", lambda path: None)
    walked = [("gs://b/x", [], ["ratings.csv", "../../evil"])]
    monkeypatch.setattr("tensorflow.io.gfile.walk", lambda path, **_: walked)
    monkeypatch.setattr(
        "tensorflow.io.gfile.copy", lambda path, target: Path(target).touch()
    )
    with pytest.raises(UserError, match=r"gs://b/x/../../evil is not the name"):
        local_input(
            {"parameterValues": {"input_base": "gs://b/x"}}, str(tmp_path / "a")
        )
    assert not (tmp_path.parent / "evil").exists()
