"""What a worker of an engine is asked about itself.

The source of this module is sent to workers as text and runs there even if they have
another Python or lack our package: it may import the standard library and Beam only.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any


def worker_report(folders: list[str], token: str) -> dict[str, Any]:
    """Describes this process, and which folders it shares with the submitter.

    Args:
      folders: Folders that the submitter has written a file named `token` to.
      token: Also the content of that file.

    Returns:
      Host, versions, a hash of our sources (None if one is missing), and for each
      folder whether the file was `read` and another `written`, or the error.
    """
    import apache_beam

    return {
        "host": socket.gethostname(),
        "process": os.getpid(),
        "python": platform.python_version(),
        "beam": apache_beam.__version__,
        "sources": sources_hash(),
        "free_mb": shutil.disk_usage(tempfile.gettempdir()).free // 1_000_000,
        "folders": {folder: _share(folder, token) for folder in folders},
    }


def sources_hash() -> str | None:
    """Hashes all sources of our packages; None if a package cannot be imported."""
    digest = hashlib.sha256()
    for name in ("components", "pipeline", "trainer"):
        spec = importlib.util.find_spec(name)
        if spec is None or not spec.submodule_search_locations:
            return None
        root = Path(list(spec.submodule_search_locations)[0])
        for path in sorted(root.rglob("*.py")):
            digest.update(str(path.relative_to(root)).encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _share(folder: str, token: str) -> dict[str, Any]:
    from apache_beam.io.filesystems import FileSystems

    found: dict[str, Any] = {"read": False, "written": "", "error": ""}
    try:
        with FileSystems.open(FileSystems.join(folder, token)) as file:
            found["read"] = file.read() == token.encode()
        name = f"{token}-{socket.gethostname()}-{os.getpid()}"
        with FileSystems.create(FileSystems.join(folder, name)) as file:
            file.write(token.encode())
        found["written"] = name
    except Exception as error:
        found["error"] = f"{type(error).__name__}: {error}"
    return found
