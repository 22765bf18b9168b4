"""`python -m pipeline.kubeflow_runner`, where TFX users look for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.kubeflow.validation import check
from tests.fixtures import command


@pytest.mark.slow
def test_it_writes_the_compiled_pipeline(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipeline.kubeflow_runner"],
        cwd=tmp_path,
        env=command.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # What TensorFlow and TFX print is discarded.
    assert done.stderr == ""
    assert done.stdout.startswith("pipeline.yaml  13 steps, image two-tower:latest")
    assert check((tmp_path / "pipeline.yaml").read_text()).problems == []
