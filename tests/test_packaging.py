"""The distribution's metadata, continuous integration and the groups of the tests."""

from __future__ import annotations

from importlib import metadata

import pytest
import yaml

import pipeline
from tests.conftest import GROUPS, REPOSITORY, group_of


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


def test_the_groups_of_the_tests_name_what_exists() -> None:
    for paths in GROUPS.values():
        assert all((REPOSITORY / path).exists() for path in paths), paths
    assert group_of("tests/test_tuning.py::test_it[a::b]") == "chain"
    assert group_of("tests/pipeline/kubeflow/test_chain.py::test_it") == "cluster"
    assert group_of("tests/test_docs.py::test_it[x]") == "tests/test_docs.py"
