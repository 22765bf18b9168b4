"""The locks: complete, final, hashed, and in step with pyproject.toml."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.requirements.machine import REPOSITORY

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

PYTHONS = {"tfx116": ("3.10", "3.11"), "tfx121": ("3.10", "3.11", "3.12", "3.13")}
# Nothing else of these was ever released, and Beam or OpenTelemetry itself needs them.
NEVER_FINAL = {"betterproto", "opentelemetry-semantic-conventions"}

lines = pytest.mark.parametrize("line", sorted(PYTHONS))
LOCKS = sorted(path.stem for path in (REPOSITORY / "requirements").glob("*.txt"))


def _lock(line: str) -> str:
    return (REPOSITORY / "requirements" / f"{line}.txt").read_text()


def _pins(line: str) -> Iterator[tuple[Requirement, list[str]]]:
    for entry in re.split(r"\n(?=\S)", _lock(line).strip()):
        pin, *hashes = re.split(r" \\\n\s+--hash=", entry)
        yield Requirement(pin), hashes


def test_there_is_a_lock_of_each_kind() -> None:
    assert LOCKS == ["build", "gpu116", "gpu121", "tfx116", "tfx121"]


@pytest.mark.parametrize("line", LOCKS)
def test_every_pin_has_hashes_and_none_names_a_host(line: str) -> None:
    assert "://" not in _lock(line)
    for requirement, hashes in _pins(line):
        assert hashes, requirement
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


@lines
def test_all_releases_are_final(line: str) -> None:
    early = {
        requirement.name
        for requirement, _ in _pins(line)
        if Version(next(iter(requirement.specifier)).version).is_prerelease
    }
    assert early <= NEVER_FINAL


@pytest.mark.parametrize(
    ("line", "python"), [(ln, py) for ln, pys in PYTHONS.items() for py in pys]
)
def test_lock_satisfies_pyproject(line: str, python: str) -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    wanted = [
        *project["project"]["dependencies"],
        *project["project"]["optional-dependencies"][line],
        *project["dependency-groups"]["dev"],
    ]
    environment = {"python_version": python, "python_full_version": f"{python}.9"}
    pinned = {
        canonicalize_name(pin.name): next(iter(pin.specifier)).version
        for pin, _ in _pins(line)
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    for requirement in map(Requirement, wanted):
        if requirement.marker is None or requirement.marker.evaluate(environment):
            version = pinned[canonicalize_name(requirement.name)]
            assert requirement.specifier.contains(version), requirement


@pytest.mark.parametrize("line", ["116", "121"])
def test_cuda_is_that_of_the_tensorflow_of_the_line(line: str) -> None:
    pins = {pin.name: str(pin.specifier) for pin, _ in _pins(f"tfx{line}")}
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    (wanted,) = map(Requirement, project["dependency-groups"][f"gpu{line}"])
    assert (wanted.name, str(wanted.specifier)) == ("tensorflow", pins["tensorflow"])
    names = [pin.name for pin, _ in _pins(f"gpu{line}")]
    assert names and all(name.startswith("nvidia-") for name in names)
    assert not set(names) & set(pins)


def test_nothing_is_installed_without_a_hash() -> None:
    for path in ("requirements/setup.sh", "kubeflow/Dockerfile"):
        text = (REPOSITORY / path).read_text().replace("\\\n", " ")
        for line in re.findall(r"pip (?:install|sync) .*", text):
            is_project = "--editable ." in line and "--no-build-isolation" in line
            assert is_project or "--require-hashes" in line, line
            builds = "--only-binary=:all:" not in line and not is_project
            assert not builds or "--require-build-hashes" in line, line
