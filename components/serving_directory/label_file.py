"""The file of the labels: which versions are `stable` and `canary`.

It is the one source of truth; `models_config` writes what a model server reads of it. A
directory without it is one of an earlier release, in which the newest version is live.
"""

from __future__ import annotations

import dataclasses
import json
import os
from typing import Any, Final

from components import storage
from components.serving_directory.layout import LABELS_FILE
from trainer.errors import UserError

FORMAT: Final = 1


@dataclasses.dataclass(frozen=True)
class Server:
    """What a model server knows the serving directory as.

    Attributes:
      name: Name of the model.
      base_path: Path of the serving directory; empty for the path by which the last
        change found it.
    """

    name: str = "two-tower"
    base_path: str = ""


@dataclasses.dataclass(frozen=True)
class LabelFile:
    """What the file says, whether or not the versions are there.

    Attributes:
      stable: The version that is live.
      canary: The version that is tried beside it.
      pinned: Whether `stable` stays where it is, whatever is pushed.
      withdrawing: Versions that a rollback is withdrawing: see `withdrawal`.
      server: For the model server's configuration.
      damage: Why the file cannot be understood; empty if it can. The rest is then a
        guess that moves nothing: `pinned`.
    """

    stable: str | None = None
    canary: str | None = None
    pinned: bool = False
    withdrawing: tuple[str, ...] = ()
    server: Server = Server()
    damage: str = dataclasses.field(default="", compare=False)


def read_file(serving_dir: str) -> LabelFile | None:
    """Returns what the file says; None if there is none.

    Raises:
      UserError: It cannot be read.
    """
    content = storage.read(os.path.join(serving_dir, LABELS_FILE))
    if content is None:
        return None
    try:
        return _parse(json.loads(content))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        cause = " ".join(str(error).split()) or type(error).__name__
        return LabelFile(pinned=True, damage=cause)


def write_file(serving_dir: str, labels: LabelFile) -> None:
    """Replaces the file, atomically.

    Raises:
      UserError: It cannot be written.
    """
    content = {"format": FORMAT, **dataclasses.asdict(labels)}
    del content["damage"]
    path = os.path.join(serving_dir, LABELS_FILE)
    write(path, json.dumps(content, indent=2).encode() + b"\n")


def write(path: str, content: bytes) -> None:
    """Replaces a file of the serving directory, atomically.

    Raises:
      UserError: It cannot be written.
    """
    try:
        storage.write(path, content)
    except Exception as error:
        cause = getattr(error, "strerror", None) or str(error).split("\n")[0]
        raise UserError(
            f"{path} cannot be written: {cause}",
            "Make its folder one that can be written, with space, and do it again.",
        ) from error


def _parse(content: Any) -> LabelFile:
    """Raises `ValueError`, `TypeError` or `KeyError` where it is no such content."""
    if content["format"] != FORMAT:
        raise ValueError(f"format {content['format']!r}, not {FORMAT}")
    if not isinstance(content["pinned"], bool):
        raise TypeError("pinned is neither true nor false")
    server = content["server"]
    return LabelFile(
        stable=_version(content["stable"]),
        canary=_version(content["canary"]),
        pinned=content["pinned"],
        withdrawing=tuple(str(_version(name)) for name in content["withdrawing"]),
        server=Server(str(server["name"]), str(server["base_path"])),
    )


def _version(value: Any) -> str | None:
    if value is not None and not (isinstance(value, str) and value.isdecimal()):
        raise ValueError(f"{value!r} is no version")
    return value
