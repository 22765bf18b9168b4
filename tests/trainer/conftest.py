"""A model that several files ask something of."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def small_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of `tests.fixtures.exported_model`; only the group "exported"."""
    from tests.fixtures.exported_model import export_small_model  # noqa: PLC0415

    return export_small_model(tmp_path_factory.mktemp("exported"))
