"""Installing, resuming and starting again, with a stand-in for uv and no network.

The real installation is what `.ci/run` does before it runs any test.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from pathlib import Path

import pytest

from tests.requirements.machine import Machine

pytestmark = pytest.mark.slow  # each makes a virtual environment

_LINE = "116" if sys.version_info[:2] <= (3, 11) else "121"
# Notes down its arguments; fails while the file `broken` lies beside the notes.
_UV = """
import os, sys
log = os.environ["FAKE_UV_LOG"]
def main():
    with open(log, "a") as file:
        file.write(" ".join(sys.argv[1:3]) + "\\n")
    sys.exit(os.path.exists(log + ".broken"))
"""


def _wheel(folder: Path) -> str:
    """Writes uv-0.0.1 as a wheel; returns its SHA-256."""
    info = "uv-0.0.1.dist-info"
    files = {
        "fake_uv.py": _UV,
        f"{info}/METADATA": "Metadata-Version: 2.1\nName: uv\nVersion: 0.0.1\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any",
        f"{info}/entry_points.txt": "[console_scripts]\nuv = fake_uv:main\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, f"{info}/RECORD"])
    path = folder / "uv-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, text in (files | {f"{info}/RECORD": record}).items():
            wheel.writestr(name, text)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _machine(folder: Path) -> Machine:
    """A checkout with a lock that pins nothing but uv."""
    machine = Machine(folder)
    pin = f"uv==0.0.1 \\\n    --hash=sha256:{_wheel(folder)}\n"
    _lock(machine).write_text(f"absl-py==9\n{pin}zzz==1\n")
    machine.environment |= {
        "PYTHON": os.path.realpath(sys.executable),
        "TFX_LINE": _LINE,
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(folder),
        "FAKE_UV_LOG": str(folder / "uv.log"),
    }
    return machine


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    """One on which an installation was interrupted and repeated.

    Each environment takes six seconds to make, so the tests use one after another.
    """
    machine = _machine(tmp_path_factory.mktemp("machine"))
    broken = Path(machine.environment["FAKE_UV_LOG"] + ".broken")
    broken.touch()
    failed = machine.run()
    assert failed.returncode != 0
    assert "run make setup again" in failed.stderr.splitlines()[-1]
    assert _calls(machine) == ["pip sync"]  # and nothing after what failed

    (machine.checkout / ".venv" / "half-a-package").touch()
    broken.unlink()
    done = machine.run()
    assert done.returncode == 0, done.stderr
    assert "Installed in" in done.stdout
    assert _calls(machine) == _BOTH
    return machine


def _lock(machine: Machine) -> Path:
    return machine.checkout / "requirements" / f"tfx{_LINE}.txt"


def _calls(machine: Machine) -> list[str]:
    log = Path(machine.environment["FAKE_UV_LOG"])
    calls = log.read_text().splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return calls


_BOTH = ["pip sync", "pip install"]


def test_an_interrupted_installation_starts_again(machine: Machine) -> None:
    assert (machine.checkout / ".venv" / "bin" / "uv").exists()
    assert not (machine.checkout / ".venv" / "half-a-package").exists()


def test_it_is_installed_once_and_follows_the_lock(machine: Machine) -> None:
    again = machine.run()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert not _calls(machine)

    marker = machine.checkout / ".venv" / "kept"
    marker.touch()
    _lock(machine).write_text(_lock(machine).read_text() + "# changed\n")
    machine.disk(1)  # what is there already need not fit again
    assert machine.run().returncode == 0
    assert _calls(machine) == _BOTH
    assert marker.exists()
    machine.disk(50)


def test_another_folder_or_interpreter_gets_its_own_environment(
    machine: Machine,
) -> None:
    """The last one, which leaves no environment that works."""
    (machine.checkout / ".venv" / "of-the-first").touch()
    machine.checkout = machine.checkout.rename(machine.root / "moved")
    assert machine.run().returncode == 0
    script = (machine.checkout / ".venv" / "bin" / "uv").read_text()
    assert str(machine.checkout) in script.splitlines()[0]

    (machine.checkout / ".venv" / "of-the-second").touch()
    same = machine.root / "python"
    same.symlink_to(machine.environment["PYTHON"])
    for variable in (str(same), ""):
        assert machine.run(PYTHON=variable).stdout == ""  # nothing to do

    other = machine.python(machine.root / "other", "3.10")
    machine.run(PYTHON=str(other))
    assert not list((machine.checkout / ".venv").glob("of-the-*"))


def test_uv_with_another_hash_is_refused(tmp_path: Path) -> None:
    machine = _machine(tmp_path)
    wheel = tmp_path / "uv-0.0.1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("extra.py", base64.b64encode(b"tampered"))
    assert machine.run().returncode != 0
    assert not _calls(machine)
