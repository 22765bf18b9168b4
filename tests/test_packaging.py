"""The distribution's metadata and what continuous integration runs."""

from __future__ import annotations

from importlib import metadata

import pytest
import yaml

import pipeline
from tests.conftest import REPOSITORY


def test_the_version_has_one_source() -> None:
    assert pipeline.__version__ == metadata.version("two-tower")
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pipeline.nothing


def test_the_workflow_runs_ci_on_both_tfx_lines() -> None:
    path = REPOSITORY / ".github" / "workflows" / "ci.yml"
    job = yaml.safe_load(path.read_text())["jobs"]["test"]
    systems = {entry["os"] for entry in job["strategy"]["matrix"]["include"]}
    assert systems == {"ubuntu-22.04", "ubuntu-24.04"}
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert (REPOSITORY / ".ci" / "run").stat().st_mode & 0o100
