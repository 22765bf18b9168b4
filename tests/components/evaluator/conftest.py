from __future__ import annotations

import pytest

from tests.fixtures.eval_world import World


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """Shared by all tests: an evaluation takes four seconds and runs only once."""
    return World(tmp_path_factory.mktemp("world"))
