"""The model server with the demo page, on the model that the pipeline pushed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pipeline.serving.server.app import create_app
from pipeline.serving.server.models import ModelVersions
from pipeline.serving.server.wanted import Wanted
from tests.conftest import Chain
from tests.fixtures.running_app import RunningApp, running

STABLE, CANARY = 7, 8


@pytest.fixture(scope="session")
def demo(chain: Chain) -> Iterator[RunningApp]:
    """A server of the pushed model, under two numbers: `stable` and `canary`."""
    folder = str(next((chain.workspace / "serving").glob("[0-9]*")))
    wanted = Wanted(
        {STABLE: folder, CANARY: folder},
        {"stable": STABLE, "canary": CANARY},
        [STABLE],
        CANARY,
    )
    versions = ModelVersions("two-tower", lambda: wanted)
    versions.refresh()
    with running(create_app(versions, demo=True)) as server:
        yield server
