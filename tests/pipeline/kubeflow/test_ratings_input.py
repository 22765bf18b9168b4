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
