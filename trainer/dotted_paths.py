"""Parts of the model by name, or by the dotted path of one's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from trainer.errors import UserError


def find_class(key: str, name: str, known: Mapping[str, Any]) -> Any:
    """Finds what the configuration names.

    Args:
      key: Where the name stands, e.g. "train.loss".
      name: A name of `known`, or "package.module.Class".
      known: The project's own, by name.

    Returns:
      The class or function.

    Raises:
      UserError: If there is no such name, module or attribute, or the module fails.
    """
    if name in known:
        return known[name]
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UserError(
            f"{key} is {name!r}, which is none of {', '.join(sorted(known))}",
            "Take one of these, or the dotted path of your own: package.module.Class",
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{key} is {name!r}, which cannot be imported: {error}",
            "Its package must be installed or lie in the folder that the pipeline is "
            "run from; on Kubeflow, in the image",
        ) from error
