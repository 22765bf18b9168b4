"""Fingerprints of the code that a step runs, so that edited code is never cached.

TFX caches a step by its inputs and parameters, and its code is neither
(https://github.com/tensorflow/tfx/issues/3049). So every node gets one more parameter:
the hash of all sources that it imports, found by following the imports from its
component, its executor and the functions that its parameters name.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.util
import re
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pipeline.config import PipelineConfig

_ROOT: Final = Path(__file__).resolve().parent.parent
_PACKAGES: Final = frozenset({"components", "pipeline", "trainer"})
# Parameters of TFX's components that are the dotted path of a function.
_FUNCTION_PARAMETERS: Final = ("preprocessing_fn", "run_fn", "tuner_fn")
# Libraries whose release can change what the code does.
_LIBRARIES: Final = ("tfx", "tensorflow", "tensorflow-transform", "keras")
# A string such as "trainer.training.run_fn": a module or something in it.
_DOTTED_PATH: Final = re.compile(r"""["']([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)["']""")
_STATEMENT_LISTS: Final = ("body", "orelse", "handlers", "finalbody", "cases")


def code_fingerprints(nodes: Iterable[Any], config: PipelineConfig) -> dict[str, str]:
    """Returns node id -> fingerprint, for the nodes that run code of this project.

    Args:
      nodes: Nodes of a pipeline.
      config: Names the classes of a user's own that the nodes load.
    """
    sources = Sources()
    own = _own_modules(config)
    return {
        node.id: sources.fingerprint([*modules, *own.get(node.id, ())])
        for node in nodes
        if (modules := modules_of(node))
    }


def modules_of(node: Any) -> list[str]:
    """Returns the modules of this project that a node runs."""
    executor = getattr(node.executor_spec, "executor_class", None)
    classes = filter(None, (type(node), node.driver_class, executor))
    functions = map(node.exec_properties.get, _FUNCTION_PARAMETERS)
    names = [item.__module__ for item in classes]
    names += [str(function).rpartition(".")[0] for function in functions]
    return [name for name in names if _top(name) in _PACKAGES]


def _own_modules(config: PipelineConfig) -> dict[str, list[str]]:
    """Node id -> modules of the classes that its part of the configuration names."""
    model, train = config.model, config.train
    towers = (model.history_encoder, model.query_tower, model.candidate_tower)
    trained = [*towers, train.loss, train.optimizer]
    named = {"Tuner": trained, "Trainer": trained, "Evaluator": config.eval.metrics}
    return {
        node: [
            path.partition("@")[0].rpartition(".")[0] for path in paths if "." in path
        ]
        for node, paths in named.items()
    }


class Sources:
    """The source files as they are now, each read once."""

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._content = functools.cache(Path.read_bytes)
        self._libraries = [f"{name}=={metadata.version(name)}" for name in _LIBRARIES]
        self._path = functools.cache(_source)
        self._imports = functools.cache(self._read_imports)

    def fingerprint(self, modules: Iterable[str]) -> str:
        """Returns 16 hexadecimal digits: the hash of modules and what they import.

        Of what they import, the modules of this project count and those of the same
        packages, with the data files beside the project's, and the versions of the
        libraries that decide on results.
        """
        files = self.imported(modules)
        ours = {path.parent for name, path in files.items() if _top(name) in _PACKAGES}
        for path in (path for folder in ours for path in folder.iterdir()):
            if path.is_file() and path.suffix not in (".py", ".pyc"):
                files[path.relative_to(_ROOT).as_posix()] = path
        digest = hashlib.sha256("\n".join(self._libraries).encode())
        for name, path in sorted(files.items()):
            content = self._content(path)
            digest.update(f"\n{name} {len(content)}\n".encode())
            digest.update(content)
        return digest.hexdigest()[:16]

    def imported(self, modules: Iterable[str]) -> dict[str, Path]:
        """Returns module -> source file, for modules and all that they import.

        An import counts wherever it stands, also inside of a function, and so does a
        string that is the dotted path of a module or of something in it. Imports for
        type checkers alone do not run and do not count. A module that does not exist is
        skipped: the step will report it.
        """
        pending = list(modules)
        packages = _PACKAGES | set(map(_top, pending))
        found: dict[str, Path] = {}
        visited = set()
        while pending:
            name = pending.pop()
            if name in visited or _top(name) not in packages:
                continue
            visited.add(name)
            if path := self._path(name):
                found[name] = path
                pending += self._imports(name, path)
            # Its package is imported with it; or it is an attribute, not a module.
            pending.append(name.rpartition(".")[0])
        return found

    def _read_imports(self, module: str, path: Path) -> list[str]:
        """Dotted names of modules, or of something in them, that a module imports."""
        source = self._content(path)
        names = _DOTTED_PATH.findall(source.decode())
        package = module.rpartition(".")[0]
        if path.name == "__init__.py":
            package = module
            names.append(f"{module}.__main__")  # run in a process of its own
        for node in _statements(ast.parse(source).body):
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                relative = "." * node.level + (node.module or "")
                base = importlib.util.resolve_name(relative, package)
                names += [f"{base}.{alias.name}" for alias in node.names]
        return names


def _statements(body: Iterable[ast.AST]) -> Iterator[ast.AST]:
    """Yields all statements, nested ones too, but not those for type checkers."""
    for node in body:
        yield node
        test = getattr(node, "test", None)
        is_for_types = isinstance(test, ast.Name) and test.id == "TYPE_CHECKING"
        for name in ("orelse",) if is_for_types else _STATEMENT_LISTS:
            yield from _statements(getattr(node, name, ()))


def _source(module: str) -> Path | None:
    """Finds a module's file without importing anything."""
    top, root = _top(module), _ROOT
    if top not in _PACKAGES:
        spec = importlib.util.find_spec(top) if top else None
        if spec is None or not spec.origin or not spec.has_location:
            return None
        root = Path(spec.origin).parents[1 if spec.submodule_search_locations else 0]
    path = root.joinpath(*module.split("."))
    candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
    return next((file for file in candidates if file.is_file()), None)


def _top(module: str) -> str:
    return module.partition(".")[0]
