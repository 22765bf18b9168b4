"""Copies of a step's artifacts where the workers of an engine see them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.kubeflow.executor_input import TfxInput
from pipeline.kubeflow.shared_files import shared, shared_folder

STATISTICS = "tfx.components.statistics_gen.executor.Executor"
PUSHER = "components.pusher.executor.Executor"


def adapted(pod: Path) -> TfxInput:
    """A step with one input and one output, as the launcher has prepared it."""
    paths = {"inputs": pod / "in" / "examples", "outputs": pod / "out" / "statistics"}
    (paths["inputs"] / "Split-train").mkdir(parents=True)
    (paths["inputs"] / "Split-train" / "rows").write_text("1")
    paths["outputs"].mkdir(parents=True)
    content = {
        part: {"artifacts": {"a": {"artifacts": [{"uri": str(path)}]}}}
        for part, path in paths.items()
    }
    return TfxInput(
        content, "", {str(path): f"minio://{path}" for path in paths.values()}
    )


def test_a_step_reads_and_writes_in_the_shared_folder(tmp_path: Path) -> None:
    pod, volume = tmp_path / "pod", tmp_path / "volume" / "step-1"
    step = adapted(pod)
    with shared(step, str(volume)):
        (read,), (written,) = step.inputs(), step.outputs()
        for artifact in (read, written):
            path = Path(artifact["uri"])
            assert path.is_relative_to(volume)
            assert step.uris[str(path)].endswith(f"/{path.name}"), "for the server"
        assert (Path(read["uri"]) / "Split-train" / "rows").read_text() == "1"
        folder = Path(written["uri"]) / "Split-train"
        folder.mkdir()
        (folder / "stats.pb").write_text("2")
    out = pod / "out" / "statistics" / "Split-train" / "stats.pb"
    assert out.read_text() == "2", "where the launcher uploads it"
    assert not volume.exists()


def test_outputs_of_a_failed_step_are_not_copied_back(tmp_path: Path) -> None:
    pod, volume = tmp_path / "pod", tmp_path / "step-1"
    step = adapted(pod)
    with pytest.raises(OSError, match="disk"), shared(step, str(volume)):
        (Path(step.outputs()[0]["uri"]) / "half").write_text("2")
        raise OSError("disk is full")
    assert not list((pod / "out" / "statistics").iterdir())
    assert not volume.exists()


def test_a_folder_that_cannot_be_removed_does_not_fail_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    def refuse(path: str) -> None:
        raise tf.errors.FailedPreconditionError(None, None, "Directory not empty")

    monkeypatch.setattr(tf.io.gfile, "rmtree", refuse)
    with shared(adapted(tmp_path / "pod"), str(tmp_path / "step-1")):
        pass


def test_without_workers_elsewhere_nothing_is_copied(tmp_path: Path) -> None:
    step = adapted(tmp_path)
    before = [item["uri"] for item in (*step.inputs(), *step.outputs())]
    with shared(step, None):
        assert before == [item["uri"] for item in (*step.inputs(), *step.outputs())]


@pytest.mark.slow  # imports TFX
def test_only_steps_that_give_workers_work_use_the_folder() -> None:
    beam_args = ["--runner=PortableRunner", "--temp_location=/mnt/two-tower/beam/tmp"]
    found = shared_folder(STATISTICS, beam_args)
    assert found is not None and found.startswith("/mnt/two-tower/beam/tmp/step-")
    assert found != shared_folder(STATISTICS, beam_args)
    assert shared_folder(STATISTICS, beam_args[:1]) is None, "the engine `local`"
    assert shared_folder(PUSHER, beam_args) is None
