"""Finds classes that the configuration names, built-in ones and a user's own."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

from trainer.errors import UserError


def find_class(key: str, name: str, known: Mapping[str, Any]) -> Any:
    """Finds the class that a configuration value names.

    Args:
      key: The configuration key, e.g. "train.loss"; for the error message.
      name: One of `known`, or a dotted path: "package.module.Class".
      known: The built-in classes by name.

    Returns:
      The class or function.

    Raises:
      UserError: If the name is unknown, or the dotted path cannot be imported.
    """
    if name in known:
        return known[name]
    module, _, attribute = name.rpartition(".")
    if not module:
        raise UserError(
            f"{key} is {name!r}, which is not one of {', '.join(sorted(known))}",
            "Use one of these, or the dotted path of your class: package.module.Class",
        )
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(
            f"{key} is {name!r}, which cannot be imported: {error}",
            "Install its package, or put it into the folder that you start the "
            "pipeline from; on Kubeflow, into the image",
        ) from error
