"""Where `make test-trixie` cannot run, it says why and does not fail."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.requirements.machine import REPOSITORY


def run_script(folder: Path, user_id: int, **programs: str) -> str:
    """Runs the script on a machine that has these programs, and returns its output."""
    tools = {"id": f"echo {user_id}", **programs}
    for name, content in tools.items():
        (folder / name).write_text(f"#!/bin/bash\n{content}\n")
        (folder / name).chmod(0o755)
    (folder / "dirname").symlink_to(str(shutil.which("dirname")))
    done = subprocess.run(
        ["/bin/bash", REPOSITORY / "requirements" / "trixie.sh"],
        env={"PATH": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.glob(".cache")) == [], "nothing may be made"
    return done.stdout


@pytest.mark.parametrize(
    ("user_id", "programs", "reason"),
    [
        (1000, {}, "chroot needs root"),
        (0, {}, "no apt-get found"),
        (0, {"apt-get": "exit 1"}, "debootstrap is not installed"),
        (0, {"apt-get": "", "debootstrap": "", "unshare": "exit 1"}, "allow mounts"),
    ],
)
def test_it_is_skipped_with_the_reason(
    tmp_path: Path, user_id: int, programs: dict[str, str], reason: str
) -> None:
    output = run_script(tmp_path, user_id, **programs)
    assert output.startswith("test-trixie: skipped: ") and reason in output
