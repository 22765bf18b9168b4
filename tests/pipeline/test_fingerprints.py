"""Fingerprints: an edited step runs again, and only what depends on it."""

from __future__ import annotations

import ast
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import grimp
import pytest

from pipeline import fingerprints
from pipeline.config import PipelineConfig, TuneConfig
from pipeline.config.loading import load
from pipeline.fingerprints import Sources, code_fingerprints

REPOSITORY = Path(fingerprints.__file__).resolve().parent.parent
PACKAGES = ("components", "pipeline", "trainer")
CONFIG = PipelineConfig(tune=TuneConfig(enabled=True))
pytestmark = pytest.mark.slow  # importing TFX takes ten seconds


@pytest.fixture(scope="module")
def nodes() -> list[Any]:
    """The nodes of the whole graph."""
    from pipeline.pipeline import create_pipeline  # noqa: PLC0415 - see above

    made = create_pipeline(CONFIG, pipeline_root="gs://bucket/root")
    found: list[Any] = made.components
    return found


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that a test may edit."""
    for package in PACKAGES:
        shutil.copytree(REPOSITORY / package, tmp_path / package)
    monkeypatch.setattr(fingerprints, "_ROOT", tmp_path)
    return tmp_path


def changed_by_editing(checkout: Path, source: str, nodes: list[Any]) -> set[str]:
    before = code_fingerprints(nodes, CONFIG)
    path = checkout / source
    path.write_text(path.read_text() + "\n# edited\n")
    after = code_fingerprints(nodes, CONFIG)
    return {node for node, digest in after.items() if digest != before[node]}


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("trainer/preprocessing.py", {"Transform", "Tuner", "Trainer"}),
        ("trainer/export.py", {"Tuner", "Trainer"}),
        ("components/tuner/executor.py", {"Tuner"}),
        (
            "components/schema_importer/schema.pbtxt",
            {"SchemaImporter"},
        ),
        ("components/report_gen/report.html.jinja", {"ReportGen"}),
        ("components/report_gen/page.py", {"ReportGen"}),  # imported in a function
        ("components/metrics/ndcg.py", {"Evaluator", "ReportGen"}),
        ("components/evaluator/query_ranks.py", {"Evaluator"}),
        (
            "components/example_rows.py",
            {"StatisticsGen", "DataGate", "Evaluator", "ServabilityCheck", "ReportGen"},
        ),
        ("components/example_batches.py", {"StatisticsGen", "Transform"}),
        (
            "components/servability_check/serving_checks/answers.py",
            {"ServabilityCheck"},
        ),
        ("components/pusher/executor.py", {"Pusher"}),
        ("pipeline/cli/run.py", set()),
    ],
)
def test_an_edit_reaches_the_steps_that_run_it(
    checkout: Path, nodes: list[Any], source: str, expected: set[str]
) -> None:
    assert changed_by_editing(checkout, source, nodes) == expected


def test_exactly_the_imported_modules_count(nodes: list[Any]) -> None:
    """For every node, compared with grimp, which import-linter uses."""
    graph = grimp.build_graph(
        *PACKAGES, exclude_type_checking_imports=True, cache_dir=None
    )
    for node in nodes:
        roots = list(fingerprints.modules_of(node))
        if node.id == "ServabilityCheck":
            roots.append("components.servability_check.serving_checks")  # by its name
        assert set(Sources().imported(roots)) == expected_modules(graph, roots), node.id


def expected_modules(graph: grimp.ImportGraph, roots: Iterable[str]) -> set[str]:
    """Modules that are imported directly or not, with their packages' `__init__`."""
    pending, found = list(roots), set[str]()
    while pending:
        name = pending.pop()
        if name and name not in found:
            found.add(name)
            pending += graph.find_modules_directly_imported_by(name)
            pending.append(name.rpartition(".")[0])
            if f"{name}.__main__" in graph.modules:
                pending.append(f"{name}.__main__")
    return found


def test_the_names_of_features_reach_every_step(
    checkout: Path, nodes: list[Any]
) -> None:
    changed = changed_by_editing(checkout, "trainer/features.py", nodes)
    assert changed >= {"MovieLensExampleGen", "DataGate", "Transform", "Trainer"}
    assert changed >= {"Evaluator", "ServabilityCheck", "Pusher", "ReportGen"}


def test_compiled_files_change_nothing(checkout: Path, nodes: list[Any]) -> None:
    before = code_fingerprints(nodes, CONFIG)
    cache = checkout / "trainer" / "__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "towers.cpython-310.pyc").write_bytes(b"compiled")
    assert code_fingerprints(nodes, CONFIG) == before


def test_an_import_for_type_checkers_does_not_count(tmp_path: Path) -> None:
    source = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import trainer"
    (tmp_path / "types_only.py").write_text(source)
    assert set(modules_outside(tmp_path, "types_only")) == {"types_only"}


def test_relative_imports_and_dotted_strings_count(tmp_path: Path) -> None:
    package = tmp_path / "own_package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text("from ..other import x\n")
    (package / "other.py").write_text("NAME = 'own_package.third.function'\n")
    (package / "third.py").write_text("")
    found = modules_outside(tmp_path, "own_package.inner")
    names = (
        "own_package",
        "own_package.inner",
        "own_package.other",
        "own_package.third",
    )
    assert sorted(found) == sorted(names)


def modules_outside(folder: Path, module: str) -> dict[str, Path]:
    """What a module outside of the project imports."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        return Sources().imported([module])


def test_an_edit_of_a_users_class_reaches_the_step_that_uses_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: list[Any]
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for number, key in enumerate(("model.history_encoder", "train.loss")):
        module = tmp_path / f"own_part_{number}.py"
        module.write_text("")
        config = load([], [f"{key}=own_part_{number}.Own"])
        before = code_fingerprints(nodes, config)
        module.write_text("# edited\n")
        after = code_fingerprints(nodes, config)
        changed = {node for node in after if after[node] != before[node]}
        assert changed == {"Tuner", "Trainer"}
    metric = load([], ["eval.metrics=[own_part_0.Own@5]"])
    default = code_fingerprints(nodes, CONFIG)
    assert code_fingerprints(nodes, metric)["Evaluator"] != default["Evaluator"]
    absent = load([], ["train.loss=nowhere.at.All"])
    assert code_fingerprints(nodes, absent)


def test_every_source_is_read_and_parsed_once(
    nodes: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though each of many nodes imports most of them: a run starts with this."""
    read, parsed = list[Path](), list[bytes]()
    read_bytes, parse = Path.read_bytes, ast.parse

    def counted_read(path: Path) -> bytes:
        read.append(path)
        return read_bytes(path)

    def counted_parse(source: bytes) -> ast.Module:
        parsed.append(source)
        return parse(source)

    with monkeypatch.context() as patch:  # pytest itself parses sources of a failure
        patch.setattr(Path, "read_bytes", counted_read)
        patch.setattr(ast, "parse", counted_parse)
        code_fingerprints(nodes, CONFIG)
    assert len(read) == len(set(read)) > 100
    assert 100 < len(parsed) <= len([path for path in read if path.suffix == ".py"])
