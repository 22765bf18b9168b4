"""A small model, and an application that serves it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.serving.server.app import create_app
from pipeline.serving.server.models import ModelVersions
from tests.fixtures.served_model import ServedModel


@pytest.fixture(scope="session")
def served_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return ServedModel().save(tmp_path_factory.mktemp("small") / "1")


@pytest.fixture(scope="session")
def app(served_model: Path) -> Any:
    versions = ModelVersions.of_model(served_model, "two-tower")
    versions.refresh()
    return create_app(versions)


@pytest.fixture
def push(served_model: Path, tmp_path: Path) -> Callable[[int], Path]:
    """Copies the model to a version of the serving directory `serving`."""

    def copy(version: int) -> Path:
        folder = tmp_path / "serving" / str(version)
        part = tmp_path / "copied"
        shutil.copytree(served_model, part)
        folder.parent.mkdir(exist_ok=True)
        return part.rename(folder)

    return copy
