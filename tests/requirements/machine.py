"""A machine for `requirements/setup.sh`: only what is put on its PATH exists."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
# What every Linux has; the compiler, Python, glibc's version and the disk are not here.
_COMMON = "awk bash dirname env flock head rm sed sha256sum sort timeout tr"


class Machine:
    """Runs the real script, in a checkout of its own, in an environment of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkout = root / "checkout"
        (self.checkout / "requirements").mkdir(parents=True)
        files = "pyproject.toml setup.py requirements/setup.sh requirements/build.txt"
        for name in files.split():
            shutil.copy(REPOSITORY / name, self.checkout / name)
        self.bin = root / "bin"
        self.home = root / "home"
        self.home.mkdir()
        self.bin.mkdir()
        self.environment = {"PATH": str(self.bin), "HOME": str(self.home)}
        for name in _COMMON.split():
            real = shutil.which(name)
            assert real, name
            (self.bin / name).symlink_to(real)
        self.program(self.bin / "uname", "echo Linux x86_64")
        self.program(self.bin / "g++", "exit 0")
        self.glibc("2.36")
        self.disk(50)

    def program(self, path: Path, body: str) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"#!{shutil.which('bash')}\n{body}\n")
        path.chmod(0o755)
        return path

    def glibc(self, version: str) -> None:
        self.program(self.bin / "getconf", f"echo glibc {version}")

    def disk(self, free_gb: int) -> None:
        row = f"/dev/sda 1 1 {free_gb * 1024 * 1024} 1% /"
        self.program(self.bin / "df", f"echo Filesystem; echo {row}")

    def python(self, path: Path | str, version: str, lacks: str = "") -> Path:
        """An interpreter that answers the script's question as a real one would."""
        return self.program(
            self.bin / path,
            f'[ "$1" = --version ] && echo "Python {version}.1" && exit\n'
            f'[ "$2" = {version} ] || exit 1\n'
            f'echo "$0 {lacks}"',
        )

    def run(
        self, *arguments: str, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", str(self.checkout / "requirements" / "setup.sh"), *arguments],
            env=self.environment | variables,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def check(self, **variables: str) -> str:
        """What `--check` prints where nothing is missing."""
        result = self.run("--check", **variables)
        assert result.returncode == 0, result.stderr
        assert not result.stderr
        return result.stdout.strip()

    def error(self, **variables: str) -> str:
        """The one line that names what is missing."""
        result = self.run("--check", **variables)
        assert result.returncode == 1, result.stdout
        assert not result.stdout
        (line,) = result.stderr.splitlines()
        return line

    def add_to_path(self, folder: Path) -> None:
        self.environment["PATH"] = f"{folder}{os.pathsep}{self.environment['PATH']}"
