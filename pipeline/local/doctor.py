"""Checks whether this machine can run the pipeline, for `two-tower doctor`.

Nothing here imports TensorFlow or TFX: versions are read from the metadata in
`site-packages`, which is fast and works even if an import would fail.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import psutil
from packaging.markers import Marker
from packaging.utils import canonicalize_name
from packaging.version import Version

from pipeline.runs.workspace import Workspace
from pipeline.serving.client import ModelInfo
from trainer.errors import UserError

State = Literal["ok", "warn", "fail"]

# `requirements/setup.sh` chooses by the same version.
NEW_LINE_GLIBC: Final = Version("2.39")
PYTHONS: Final = {"1.16": ("3.10", "3.11"), "1.21": ("3.10", "3.11", "3.12", "3.13")}
PACKAGES: Final = (
    "tensorflow",
    "keras",
    "apache-beam",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "kfp",
)
LOCKS: Final = Path(__file__).resolve().parents[2] / "requirements"
GIB: Final = 2**30
NEEDED_DISK: Final = 1 * GIB  # a run on MovieLens-100K writes 0.1
NEEDED_MEMORY: Final = 3 * GIB
_REINSTALL: Final = "Run `make clean setup`."
_PIN: Final = re.compile(r"^([\w.-]+)==(\S+)(?: ; ([^\\]+))?", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
      name: What is checked.
      state: `warn` if the pipeline still runs, `fail` if it cannot.
      value: What was found.
      remedy: What to do; empty if the state is `ok`.
    """

    name: str
    state: State
    value: str
    remedy: str = ""


def examine(workspace: Path) -> list[Check]:
    """Runs every check; changes nothing.

    Args:
      workspace: The workspace folder, which need not exist.
    """
    installed = installed_versions()
    return [
        *check_line(platform.python_version(), glibc_version(), installed.get("tfx")),
        *check_packages(installed),
        check_lock(installed, LOCKS),
        check_compiler(),
        check_disk(workspace),
        check_memory(),
        *check_workspace(workspace),
    ]


def glibc_version() -> str | None:
    """Version of the C library, such as "2.36"; None if it is not glibc."""
    try:
        _, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").partition(" ")
    except (ValueError, OSError):
        return None
    return version or None


def installed_versions() -> dict[str, str]:
    """Name -> version of every installed distribution, read from folder names."""
    return {
        canonicalize_name(info.stem.partition("-")[0]): info.stem.partition("-")[2]
        for folder in reversed(sys.path)
        for info in Path(folder).glob("*.dist-info")
    }


def check_line(python: str, glibc: str | None, tfx: str | None) -> list[Check]:
    """Whether the TFX line, the interpreter and the C library are compatible."""
    if glibc is None:
        return [Check("glibc", "fail", "not found", "TFX needs Linux with glibc.")]
    expected = "1.21" if Version(glibc) >= NEW_LINE_GLIBC else "1.16"
    line = ".".join((tfx or expected).split(".")[:2])
    rows = [_check_python(python, line), Check("glibc", "ok", glibc)]
    state: State = "fail"
    remedy = f"Its wheels need a newer glibc. {_REINSTALL}"
    if tfx is None:
        remedy = "Run `make setup`."
    elif line == expected:
        state, remedy = "ok", ""
    elif line == "1.16":
        state, remedy = "warn", f"1.21 runs here too. {_REINSTALL}"
    value = f"{tfx or 'not installed'} (glibc {glibc}: the {expected} line)"
    return [*rows, Check("tfx", state, value, remedy)]


def _check_python(python: str, line: str) -> Check:
    allowed = PYTHONS.get(line, ())
    if ".".join(python.split(".")[:2]) in allowed:
        return Check("python", "ok", python)
    remedy = f"TFX {line} needs Python {', '.join(allowed)}: set PYTHON=, make setup."
    return Check("python", "fail", python, remedy)


def check_packages(installed: dict[str, str]) -> Iterator[Check]:
    """The versions of the most important packages."""
    for name in PACKAGES:
        if name in installed:
            yield Check(name, "ok", installed[name])
        else:
            yield Check(name, "fail", "not installed", "Run `make setup`.")


def locked_versions(lock: Path) -> dict[str, str]:
    """Name -> version that a lock file pins for this interpreter."""
    return {
        canonicalize_name(name): version
        for name, version, marker in _PIN.findall(lock.read_text(encoding="utf-8"))
        if not marker or Marker(marker).evaluate()
    }


def check_lock(installed: dict[str, str], locks: Path) -> Check:
    """Whether the installed packages are those of the lock of the TFX line."""
    line = "".join(installed.get("tfx", "1.16").split(".")[:2])
    lock = locks / f"tfx{line}.txt"
    if not lock.is_file():
        remedy = "Run it from a checkout, which has the lock files."
        return Check("lock", "warn", f"no {lock}", remedy)
    locked = locked_versions(lock)
    other = [
        f"{name} {installed.get(name, 'missing')} instead of {version}"
        for name, version in locked.items()
        if installed.get(name) != version
    ]
    if not other:
        return Check("lock", "ok", f"{len(locked)} packages as in {lock.name}")
    missing = any(name not in installed for name in locked)
    more = f" and {len(other) - 1} more" if len(other) > 1 else ""
    return Check("lock", "fail" if missing else "warn", other[0] + more, _REINSTALL)


def check_compiler() -> Check:
    """Whether there is a C++ compiler, which only the installation needs."""
    name = os.environ.get("CXX", "g++")
    path = shutil.which(name)
    remedy = "The next `make setup` needs it: apt-get install g++."
    return _warn_unless(bool(path), "compiler", path or f"no {name}", remedy)


def check_disk(workspace: Path) -> Check:
    """Whether the disk of the workspace has space for a run."""
    folder = workspace.absolute()
    while not folder.is_dir():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    remedy = f"A run may need {NEEDED_DISK / GIB:.0f} GiB: free some at {folder}."
    return _warn_unless(
        free >= NEEDED_DISK, "disk", f"{free / GIB:.1f} GiB free", remedy
    )


def check_memory() -> Check:
    """Whether there is memory for a run, also within a container's limit."""
    free = psutil.virtual_memory().available
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit = int((cgroup / "memory.max").read_text())
        free = min(free, limit - int((cgroup / "memory.current").read_text()))
    except (OSError, ValueError):
        pass  # no limit, or cgroup v1
    remedy = f"A run may take {NEEDED_MEMORY / GIB:.0f} GiB: close other programs."
    value = f"{free / GIB:.1f} GiB available"
    return _warn_unless(free >= NEEDED_MEMORY, "memory", value, remedy)


def _warn_unless(is_ok: bool, name: str, value: str, remedy: str) -> Check:
    return Check(name, "ok", value) if is_ok else Check(name, "warn", value, remedy)


def check_workspace(root: Path) -> Iterator[Check]:
    """The workspace's format, the data fetched into it and the model pushed to it."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        yield Check(
            "workspace", "ok", f"not created yet; `two-tower run` creates {root}"
        )
        return
    try:
        workspace = Workspace.open(root)
    except UserError as error:
        yield Check("workspace", "fail", error.message, error.remedy)
        return
    yield Check("workspace", "ok", str(workspace.root))
    folders = workspace.data_dir.glob("[!.]*")
    editions = sorted(path.name for path in folders if path.is_dir())
    if editions:
        yield Check("data", "ok", ", ".join(editions))
    else:
        yield Check(
            "data", "warn", "not fetched", "Run `two-tower data fetch ml-100k`."
        )
    try:
        model = ModelInfo.read(workspace.live_model())
        yield Check("model", "ok", str(model.path))
    except UserError as error:
        yield Check("model", "warn", error.message, error.remedy)
