"""The pipeline of `tests/conftest.py`, its data in a folder that machines share."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import Chain
from tests.engines.machines import (
    Machine,
    can_make_machines,
    machines,
    shared_folder,
    submitter,
)
from tests.engines.spark import SOFTWARE

_NAMES = ("worker-1", "worker-2")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Skips the tests of real engines, unless `make test-engines` asks for them."""
    if config.option.markexpr == "engines":
        return
    for item in items:
        if item.get_closest_marker("engines"):
            reason = "takes minutes and installs engines: make test-engines"
            item.add_marker(pytest.mark.skip(reason=reason))


@dataclass(frozen=True)
class Site:
    """Two machines, and what they share with this one.

    Attributes:
      local: The chain as it ran on this machine.
      shared: The folder.
      machines: The machines.
      logs: Output of their processes.
    """

    local: Chain
    shared: Path
    machines: list[Machine]
    logs: Path

    def chain(self, name: str) -> Chain:
        """A workspace in the shared folder, on the same ratings."""
        prefix = submitter(self.logs, self.machines[0].visible)
        folders = (self.shared / part for part in (name, "data", "spans"))
        return Chain(*folders, prefix=prefix)


@pytest.fixture(scope="module")
def site(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Makes two machines; their users may write what this user makes for them."""
    if reason := can_make_machines():
        pytest.skip(f"no machines can be made here: {reason}")
    folder = tmp_path_factory.mktemp("engines")
    # Two users write the same folders, as members of one group.
    umask = os.umask(0o002)
    shared = shared_folder(folder)
    for source in (chain.data, chain.spans):
        shutil.copytree(source, shared / source.name)
    logs = folder / "logs"
    try:
        with machines(_NAMES, shared, [SOFTWARE], logs) as made:
            yield Site(chain, shared, made, logs)
    finally:
        os.umask(umask)
