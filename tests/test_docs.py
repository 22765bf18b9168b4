"""What the pages name exists: files, links and the functions behind dotted names."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

PAGES = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *REPOSITORY.glob("docs/*.md"),
        *(REPOSITORY / name / "README.md" for name in ("benchmarks", "requirements")),
        REPOSITORY / "kubeflow" / "README.md",
    ]
)
FOLDERS = "pipeline|components|trainer|tests|kubeflow|docs|requirements|benchmarks"
# `workspace/...` and other examples are not files of the repository.
PATH = re.compile(rf"(?:\.ci|\.github|{FOLDERS})/[\w./*-]*")
# `pipeline.yaml` is a file that a user writes.
DOTTED = re.compile(r"(?:pipeline|components|trainer)(?:\.(?!yaml\b)\w+)+")
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)

pages = pytest.mark.parametrize(
    "page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY))
)


def code_spans(page: Path) -> Iterator[str]:
    """Yields what stands in single backquotes, outside of code blocks."""
    yield from re.findall(r"`([^`]+)`", FENCE.sub("", page.read_text()))


@pages
def test_links_lead_to_files_and_headings(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", FENCE.sub("", page.read_text()))
    for link in links:
        if "://" in link:
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in _anchors(target), link


@pages
def test_named_files_exist(page: Path) -> None:
    named = {path for span in code_spans(page) for path in PATH.findall(span)}
    missing = [path for path in sorted(named) if not any(REPOSITORY.glob(path))]
    assert not missing


@pages
def test_dotted_names_exist(page: Path) -> None:
    named = {name for span in code_spans(page) if (name := span.rstrip("()"))}
    dotted = sorted(name for name in named if DOTTED.fullmatch(name))
    assert [name for name in dotted if not _exists(name.split("."))] == []


def test_the_search_for_names_can_fail() -> None:
    assert _exists("pipeline.config.loading.load".split("."))
    assert _exists("pipeline.config".split("."))
    assert not _exists("pipeline.config.loading.lode".split("."))
    assert not _exists("pipeline.configuration".split("."))


def _anchors(page: Path) -> set[str]:
    """Returns the anchors of headings, made as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {word.replace(" ", "-") for word in words}


def _exists(parts: list[str]) -> bool:
    """Says whether a dotted name is a module, or is bound in one; imports nothing."""
    for length in range(len(parts), 0, -1):
        folder = REPOSITORY.joinpath(*parts[:length])
        for path in (folder.with_suffix(".py"), folder / "__init__.py"):
            if path.is_file():
                return _binds(ast.parse(path.read_text()).body, parts[length:])
    return False


def _binds(body: list[ast.stmt], names: list[str]) -> bool:
    """Says whether the first name is bound here, and the next ones in its class."""
    for statement in body:
        if names and names[0] in _names(statement):
            members = getattr(statement, "body", [])
            return len(names) == 1 or _binds(members, names[1:])
    return not names


def _names(statement: ast.stmt) -> set[str]:
    match statement:
        case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
            return {name}
        case ast.AnnAssign(target=ast.Name(id=name)):
            return {name}
        case ast.Assign(targets=targets):
            return {target.id for target in targets if isinstance(target, ast.Name)}
        case ast.ImportFrom(names=aliases):
            return {alias.asname or alias.name for alias in aliases}
    return set()
