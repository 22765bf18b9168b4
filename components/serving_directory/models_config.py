"""What TensorFlow Serving serves, derived from the labels: for `--model_config_file`.

`models.config` serves all versions, with labels, to callers that name a label.
`models.stable.config` and `models.canary.config` serve one version each, the second
the stable one where there is no canary: for a server of each label, whose callers name
none.

They are `ModelServerConfig` in the text format of Protocol Buffers, written without
TensorFlow. The policy of `models.config` is `all` and not `specific` with the
labelled versions: TensorFlow Serving checks the labels of a new configuration *before*
it loads what that adds, and refuses it if a label moves to a version that is not
loaded, at every poll again. So `specific` would keep the old version for ever. With
`all` it loads what is pushed, and the label follows at the next poll after that.
"""

from __future__ import annotations

import os
from typing import Final

from components import storage
from components.serving_directory.label_file import (
    LabelFile,
    Server,
    read_file,
    write,
    write_file,
)
from components.serving_directory.labels import CANARY, STABLE, Labels, read
from components.serving_directory.layout import (
    CANARY_CONFIG,
    LABELS_FILE,
    MODELS_CONFIG,
    STABLE_CONFIG,
)

_PRINTABLE: Final = range(0x20, 0x7F)


def refresh(serving_dir: str) -> None:
    """Writes the configurations anew if the labels say something else.

    Args:
      serving_dir: The serving directory; the caller holds its lock.

    Raises:
      UserError: The directory cannot be read, or a file not be written.
    """
    stored = read_file(serving_dir)
    if stored is None:
        return
    labels = read(serving_dir)
    for name in (MODELS_CONFIG, STABLE_CONFIG, CANARY_CONFIG):
        path = os.path.join(serving_dir, name)
        content = config_text(serving_dir, labels, stored.server, name).encode()
        if storage.read(path) != content:
            write(path, content)


def write_labels(
    serving_dir: str,
    stored: LabelFile,
    stable: str | None,
    canary: str | None,
    *,
    pinned: bool | None = None,
    server: Server | None = None,
) -> None:
    """Replaces the labels, and then the model server's configuration.

    Args:
      serving_dir: The versions; the caller holds their lock.
      stored: What the file says so far.
      stable: The version that is live.
      canary: The version that is tried beside it.
      pinned: Whether `stable` stays where it is; None for as before.
      server: None for as before.

    Raises:
      UserError: They cannot be written.
    """
    new = LabelFile(
        stable,
        canary,
        stored.pinned if pinned is None else pinned,
        stored.withdrawing,
        server or stored.server,
    )
    found = read_file(serving_dir)
    if found != new or found.damage:
        write_file(serving_dir, new)
    refresh(serving_dir)


def config_text(
    serving_dir: str, labels: Labels, server: Server, name: str = MODELS_CONFIG
) -> str:
    """Returns a configuration for TensorFlow Serving.

    Args:
      serving_dir: The serving directory.
      labels: Those that hold.
      server: Name of the model, and path of the directory as the server sees it.
      name: The file: `MODELS_CONFIG`, or that of one label.
    """
    own = os.path.abspath(serving_dir) if storage.is_local(serving_dir) else serving_dir
    if name == MODELS_CONFIG:
        versions = _all_versions(labels)
    else:
        canary = labels.canary if name == CANARY_CONFIG else None
        versions = _one_version(canary or labels.stable)
    lines = [
        f"# Derived from {LABELS_FILE} at each change: edits are lost.",
        "model_config_list {",
        "  config {",
        f"    name: {_quoted(server.name)}",
        f"    base_path: {_quoted(server.base_path or own)}",
        '    model_platform: "tensorflow"',
        *versions,
    ]
    return "\n".join([*lines, "  }", "}", ""])


def _all_versions(labels: Labels) -> list[str]:
    named = ((STABLE, labels.stable), (CANARY, labels.canary))
    pairs = [
        f"    version_labels {{ key: {_quoted(label)} value: {int(version)} }}"
        for label, version in named
        if version is not None
    ]
    return ["    model_version_policy { all {} }", *pairs]


def _one_version(version: str | None) -> list[str]:
    versions = "" if version is None else f"versions: {int(version)}"
    return [f"    model_version_policy {{ specific {{ {versions} }} }}"]


def _quoted(text: str) -> str:
    """A string literal of the text format, in ASCII."""
    parts = [
        chr(byte) if byte in _PRINTABLE and byte not in b'"\\' else f"\\{byte:03o}"
        for byte in os.fsencode(text)
    ]
    return f'"{"".join(parts)}"'
