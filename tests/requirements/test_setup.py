"""What `requirements/setup.sh` chooses, and what it says where something is missing."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from pipeline.local.doctor import check_line
from tests.requirements.machine import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


@pytest.mark.parametrize(
    ("glibc", "line"),
    [
        ("2.31", "1.16"),
        ("2.36", "1.16"),
        ("2.38", "1.16"),
        ("2.39", "1.21"),
        ("2.41", "1.21"),
        ("2.100", "1.21"),
    ],
)
def test_glibc_decides_the_line_as_doctor_expects_it(
    machine: Machine, glibc: str, line: str
) -> None:
    machine.glibc(glibc)
    machine.python("python3.11", "3.11")
    assert machine.check().startswith(f"TFX {line} line")
    tfx = next(row for row in check_line("3.11.2", glibc, line) if row.name == "tfx")
    assert tfx.state == "ok"


@pytest.mark.parametrize(("glibc", "best"), [("2.36", "3.10"), ("2.41", "3.13")])
def test_takes_the_most_tested_python_of_the_line(
    machine: Machine, glibc: str, best: str
) -> None:
    machine.glibc(glibc)
    for version in ("3.9", "3.10", "3.11", "3.12", "3.13", "3.14"):
        machine.python(f"python{version}", version)
    assert f"at {machine.bin}/python{best}," in machine.check()


@pytest.mark.parametrize("name", ["python3", "python"])
def test_finds_a_python_without_a_version_in_its_name(
    machine: Machine, name: str
) -> None:
    machine.python(name, "3.11")
    assert f"at {machine.bin}/{name}," in machine.check()


def test_a_pyenv_shim_that_fails_leads_to_the_version_behind_it(
    machine: Machine,
) -> None:
    pyenv = machine.root / "elsewhere" / "pyenv"
    shim = machine.program(pyenv / "shims" / "python3.10", "exit 127")
    machine.add_to_path(shim.parent)
    real = machine.python(pyenv / "versions/3.10.13/bin/python3.10", "3.10")
    assert f"at {real}," in machine.check()


@pytest.mark.parametrize("by", ["home", "variable"])
def test_finds_pyenv_that_is_not_on_path(machine: Machine, by: str) -> None:
    root = machine.home / ".pyenv" if by == "home" else machine.root / "pyenv"
    real = machine.python(root / "versions/3.10.4/bin/python3.10", "3.10")
    variables = {} if by == "home" else {"PYENV_ROOT": str(root)}
    assert f"at {real}," in machine.check(**variables)


def test_without_a_python_the_supported_ones_are_named(machine: Machine) -> None:
    machine.python("python3.12", "3.12")
    line = machine.error()
    assert "no Python 3.10 or 3.11 found" in line
    assert "pyenv install 3.10" in line


@pytest.mark.parametrize("lacks", ["venv", "headers"])
def test_an_incomplete_python_is_named_with_its_packages(
    machine: Machine, lacks: str
) -> None:
    machine.python("python3.11", "3.11", lacks)
    line = machine.error()
    assert f"{machine.bin}/python3.11 lacks {lacks}" in line
    assert "apt-get install python3.11-venv python3.11-dev" in line


def test_a_complete_python_is_taken_over_an_incomplete_one(machine: Machine) -> None:
    machine.python("python3.10", "3.10", "venv")
    machine.python("python3.11", "3.11")
    assert f"at {machine.bin}/python3.11," in machine.check()


def test_python_variable_overrides_the_search(machine: Machine) -> None:
    machine.python("python3.10", "3.10")
    other = machine.python(machine.root / "other" / "python", "3.11")
    assert f"at {other}," in machine.check(PYTHON=str(other))


def test_python_variable_of_another_line_is_refused(machine: Machine) -> None:
    machine.python("python3.10", "3.10")
    other = machine.python(machine.root / "other" / "python", "3.13")
    line = machine.error(PYTHON=str(other))
    assert str(other) in line
    assert "3.10 or 3.11" in line


def test_the_running_interpreter_passes_the_real_inspection(machine: Machine) -> None:
    assert sys.version_info[:2] <= (3, 13)
    glibc = "2.36" if sys.version_info[:2] <= (3, 11) else "2.41"
    machine.glibc(glibc)
    base = os.path.realpath(sys.executable)
    assert f"at {base}," in machine.check(PYTHON=sys.executable)


def test_line_can_be_chosen(machine: Machine) -> None:
    machine.glibc("2.41")
    machine.python("python3.10", "3.10")
    assert machine.check(TFX_LINE="116").startswith("TFX 1.16 line")
    line = machine.error(TFX_LINE="1.20")
    assert "TFX_LINE is '1.20'" in line
    assert "116 and 121" in line


def test_a_missing_compiler_is_reported(machine: Machine) -> None:
    machine.python("python3.10", "3.10")
    (machine.bin / "g++").unlink()
    assert "apt-get install g++" in machine.error()
    machine.program(machine.bin / "clang++", "exit 0")
    assert machine.check(CXX="clang++")


def test_a_small_disk_is_reported_with_what_is_needed(machine: Machine) -> None:
    machine.python("python3.10", "3.10")
    machine.disk(3)
    line = machine.error()
    assert "3 GB free" in line
    assert "need 4 GB" in line


def test_other_systems_are_refused(machine: Machine) -> None:
    machine.python("python3.10", "3.10")
    machine.program(machine.bin / "getconf", "exit 1")
    assert "glibc" in machine.error()
    machine.program(machine.bin / "uname", "echo Darwin arm64")
    assert "Darwin arm64" in machine.error()
