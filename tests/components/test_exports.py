"""What a user imports from `components`."""

from __future__ import annotations

import subprocess
import sys

import pytest

import components
from tests.fixtures.command import REPOSITORY


@pytest.mark.slow  # imports TFX
def test_every_name_is_a_component_or_an_artifact_type() -> None:
    from tfx.dsl.components.base.base_component import BaseComponent  # noqa: PLC0415
    from tfx.types import Artifact  # noqa: PLC0415

    kinds = {name: getattr(components, name) for name in components.__all__}
    artifacts = {name for name, kind in kinds.items() if issubclass(kind, Artifact)}
    assert artifacts == {"DataReport", "RunReport"}
    for name in set(kinds) - artifacts:
        assert issubclass(kinds[name], BaseComponent), name
    # By this name TFX on Kubeflow finds the class again.
    for name in artifacts:
        assert kinds[name].TYPE_NAME == f"components.{name}"


def test_the_package_imports_no_tfx_before_it_is_needed() -> None:
    code = "import components, sys; sys.exit('tfx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


def test_a_name_that_does_not_exist() -> None:
    with pytest.raises(AttributeError, match="'components' has no attribute 'Nothing'"):
        components.Nothing  # noqa: B018
