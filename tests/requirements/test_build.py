"""A source package is built with the hashed build requirements, or not at all."""

from __future__ import annotations

import io
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from tests.requirements.machine import REPOSITORY

UV = Path(sysconfig.get_path("scripts"), "uv")
pytestmark = pytest.mark.skipif(not UV.exists(), reason="the image has no uv")
BUILD_LOCK = REPOSITORY / "requirements" / "build.txt"


def _source_package(folder: Path, requires: str) -> Path:
    """Writes `thing`, which is built with what `requires` names; returns its lock."""
    files = {
        "PKG-INFO": "Metadata-Version: 2.1\nName: thing\nVersion: 1\n",
        "pyproject.toml": f'[build-system]\nrequires = ["{requires}"]\n'
        'build-backend = "setuptools.build_meta"\n',
        "setup.py": "from setuptools import setup\nsetup(name='thing', version='1')\n",
    }
    path = folder / "thing-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"thing-1/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text.encode()))
    lock = folder / "lock.txt"
    digest = sha256(path.read_bytes()).hexdigest()
    lock.write_text(f"thing==1 --hash=sha256:{digest}\n")
    return lock


def _wheel(folder: Path, name: str, version: str, ran: Path) -> None:
    """Writes a build backend that notes down that it ran."""
    info = f"{name}-{version}.dist-info"
    files = {
        f"{name}/__init__.py": "",
        f"{name}/build_meta.py": f"open({str(ran)!r}, 'w')\n",
        f"{info}/METADATA": "Metadata-Version: 2.1\n"
        f"Name: {name}\nVersion: {version}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any",
    }
    record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(path, text)


@pytest.mark.parametrize("is_hashed", [True, False])
@pytest.mark.parametrize("requires", ["setuptools", "other"])
def test_a_backend_that_is_not_in_the_lock_never_runs(
    tmp_path: Path, requires: str, is_hashed: bool
) -> None:
    ran = tmp_path / "ran"
    lock = _source_package(tmp_path, requires)
    pin = re.search(r"^setuptools==(\S+)", BUILD_LOCK.read_text(), re.M)
    assert pin
    version = pin[1] if requires == "setuptools" else "1"
    # The version of the lock, with another content, as an index could serve it.
    _wheel(tmp_path, "setuptools", pin[1], ran)
    if requires == "other":
        _wheel(tmp_path, "other", version, ran)
    hashed = ("--build-constraints", str(BUILD_LOCK), "--require-build-hashes")
    done = subprocess.run(
        [
            *(str(UV), "pip", "install", "--python", sys.executable, "--no-deps"),
            *("--no-cache", "--no-index", "--find-links", str(tmp_path)),
            *("--require-hashes", "-r", str(lock), *(hashed if is_hashed else ())),
            *("--target", str(tmp_path / "target")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    if is_hashed:
        assert not ran.exists(), done.stderr
        assert re.search("hash", done.stderr, re.I), done.stderr
    elif requires == "setuptools":
        assert ran.exists(), done.stderr  # what the options are there for
