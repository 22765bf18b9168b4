"""Imports TFX without libraries that a run does not call: a third of the import's time.

TFX, Beam, TFMA and Keras import notebooks, plots, clients of clouds and metrics of
translations, whoever needs them. What they find here in their place is modules of
classes that fail when they are called.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Final

_NOT_CALLED: Final = (
    "IPython",
    "docker",
    "google.cloud.bigquery",
    "google.cloud.bigquery_storage_v1",
    "google.cloud.pubsub",
    "google.cloud.pubsub_v1",
    "googleapiclient",
    "ipywidgets",
    "kubernetes",
    "matplotlib",
    "nltk",
    "pymongo",
    "redis",
    "rouge_score",
    "sacrebleu",
    "sklearn",
)


@contextlib.contextmanager
def lean_imports() -> Iterator[None]:
    """Within it, modules of `_NOT_CALLED` are imported as stand-ins.

    Afterwards they can be imported as they are; what was imported before stays.
    """
    finder = _Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name, module in list(sys.modules.items()):
            if isinstance(module, _StandIn):
                del sys.modules[name]
                package, _, child = name.rpartition(".")
                vars(sys.modules.get(package, finder)).pop(child, None)


class _NotImported(type):
    """Class of what a stand-in contains: classes, that others may inherit from."""

    def __getattr__(cls, name: str) -> Any:
        return _not_imported(name)

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(finder, _Finder) for finder in sys.meta_path):
            return cls  # a decorator, while the libraries are imported
        raise ImportError(f"{cls.__name__} belongs to a library that a run leaves out")


def _not_imported(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _NotImported(name, (), {})


class _StandIn(ModuleType):
    """Looks like a package with any content."""

    def __getattr__(self, name: str) -> Any:
        return _not_imported(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Makes stand-ins."""

    def find_spec(
        self, fullname: str, path: Any, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        if f"{fullname}.".startswith(tuple(f"{name}." for name in _NOT_CALLED)):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass
