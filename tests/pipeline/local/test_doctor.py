"""`two-tower doctor` on this machine and on ones that lack something."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli.doctor import doctor as command
from pipeline.local import doctor
from tests.fixtures.served_versions import graph
from tests.pipeline.serving.test_client import write_info


def _states(checks: list[doctor.Check]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def test_this_installation_matches_its_lock(tmp_path: Path) -> None:
    checks = doctor.examine(tmp_path / "none")
    states = _states(checks)
    for name in ("python", "glibc", "tfx", "lock", "workspace", *doctor.PACKAGES):
        assert states[name] == "ok", checks
    assert all(bool(check.remedy) == (check.state != "ok") for check in checks)


def test_versions_are_those_that_importlib_reports() -> None:
    installed = doctor.installed_versions()
    assert {"tfx", "two-tower", *doctor.PACKAGES} <= set(installed)
    for name, version in installed.items():
        assert metadata.version(name) == version


@pytest.mark.parametrize(
    ("python", "glibc", "tfx", "expected"),
    [
        ("3.10.4", "2.36", "1.16.0", {"python": "ok", "tfx": "ok"}),
        ("3.13.0", "2.41", "1.21.0", {"python": "ok", "tfx": "ok"}),
        ("3.11.0", "2.41", "1.16.0", {"python": "ok", "tfx": "warn"}),
        ("3.11.0", "2.36", "1.21.0", {"python": "ok", "tfx": "fail"}),
        ("3.12.1", "2.36", "1.16.0", {"python": "fail", "tfx": "ok"}),
        ("3.12.1", "2.41", None, {"python": "ok", "tfx": "fail"}),
        ("3.9.1", "2.36", "1.16.0", {"python": "fail", "tfx": "ok"}),
    ],
)
def test_tfx_line_python_and_glibc_must_be_compatible(
    python: str, glibc: str, tfx: str | None, expected: dict[str, str]
) -> None:
    checks = doctor.check_line(python, glibc, tfx)
    assert _states(checks) == {"glibc": "ok"} | expected
    assert all(check.remedy for check in checks if check.state != "ok")


def test_without_glibc_nothing_can_run() -> None:
    (check,) = doctor.check_line("3.10.4", None, None)
    assert (check.name, check.state) == ("glibc", "fail")


@pytest.fixture
def locks(tmp_path: Path) -> Path:
    (tmp_path / "tfx116.txt").write_text(
        "keras==3.12.4 ; python_full_version < '3.99' \\\n    --hash=sha256:00\n"
        "old==1 ; python_full_version < '3' \\\n    --hash=sha256:00\n"
        "tf_keras==2.16.0 \\\n    --hash=sha256:00\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("installed", "state", "text"),
    [
        ({"keras": "3.12.4", "tf-keras": "2.16.0"}, "ok", "2 packages"),
        ({"keras": "3.1", "tf-keras": "2.16.0"}, "warn", "3.1 instead of 3.12.4"),
        ({"keras": "3.12.4"}, "fail", "tf-keras missing instead of 2.16.0"),
        ({}, "fail", "and 1 more"),
    ],
)
def test_packages_that_differ_from_the_lock_are_named(
    locks: Path, installed: dict[str, str], state: str, text: str
) -> None:
    check = doctor.check_lock({"tfx": "1.16.0"} | installed, locks)
    assert check.state == state
    assert text in check.value


def test_compiler_disk_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert doctor.check_compiler().state == "warn"
    monkeypatch.setattr(doctor, "NEEDED_DISK", 2**60)
    monkeypatch.setattr(doctor, "NEEDED_MEMORY", 2**60)
    assert doctor.check_disk(tmp_path / "not" / "yet").state == "warn"
    assert doctor.check_memory().state == "warn"


def _workspace(root: Path, format_: int = 1) -> Path:
    root.mkdir()
    (root / "workspace.json").write_text(json.dumps({"format": format_}))
    return root


def test_workspace_shows_its_data_and_newest_model(tmp_path: Path) -> None:
    root = _workspace(tmp_path / "w")
    assert _states(list(doctor.check_workspace(root))) == {
        "workspace": "ok",
        "data": "warn",
        "model": "warn",
    }
    for folder in ("data/ml-100k", "data/.ml-1m.part", "serving/9", "serving/10"):
        (root / folder).mkdir(parents=True)
    for version in ("9", "10"):
        (root / "serving" / version / "saved_model.pb").write_bytes(graph("x"))
    write_info(root / "serving" / "10")
    found = {check.name: check for check in doctor.check_workspace(root)}
    assert found["data"].value == "ml-100k"
    assert found["model"].value == str(root / "serving" / "10")


def test_a_model_that_cannot_be_asked_is_a_warning(tmp_path: Path) -> None:
    root = _workspace(tmp_path / "w")
    version = write_info(root / "serving" / "9", '{"corpus_size": 4}')
    (version / "saved_model.pb").write_bytes(graph("x"))
    [model] = [c for c in doctor.check_workspace(root) if c.name == "model"]
    assert model.state == "warn" and "an earlier release" in model.value


def test_command_fails_where_a_check_fails(tmp_path: Path) -> None:
    arguments = ["--json", "--workspace", str(_workspace(tmp_path / "w", format_=99))]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    rows = {row["name"]: row for row in json.loads(result.stdout)["checks"]}
    assert rows["workspace"]["state"] == "fail"
    assert "99" in rows["workspace"]["value"]
    assert rows["workspace"]["remedy"]


def test_table_has_every_check_and_its_remedy(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        command, ["--workspace", str(_workspace(tmp_path / "w"))]
    )
    assert result.exit_code == 0, result.output
    for check in doctor.examine(tmp_path / "w"):
        assert check.name in result.output
        assert check.remedy in result.output


def test_command_imports_nothing_heavy() -> None:
    heavy = "{'tensorflow', 'tfx', 'apache_beam', 'keras', 'numpy'}"
    code = (
        f"import sys, pipeline.cli.doctor; sys.exit(bool({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
