"""Whatever is typed, written or broken, a command answers in one line.

Hypothesis makes command lines, values, YAML and damaged files; `make fuzz` makes much
more of them. Commands run in this process, through the entry of the command line. None
of them trains: this process holds the lock of the workspace.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import json
import math
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.cli import COMMANDS, main
from pipeline.config import PipelineConfig
from pipeline.config.loading import dump
from pipeline.runs.workspace import Workspace
from pipeline.runs.workspace_lock import LockedError
from tests.fixtures.movielens_files import write_csv
from tests.fixtures.recorded_runs import Records
from tests.pipeline.kubeflow.test_validation import documents
from tests.pipeline.serving.test_client import write_info

# Damaged files take a tenth of a second each.
FEWER = settings(max_examples=max(20, settings.default.max_examples // 4))

# What a process can be given: no null character, and bytes that are no UTF-8.
TEXT = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    | st.sampled_from("\udc80\udcff\n\x1b[]{}*?%:'\"=,.|&"),
    max_size=20,
)
NUMBERS = st.sampled_from(
    ["0", "-1", "1", "3", "1e999", "-1e-999", "nan", ".inf", "9" * 400, "0x1f", "1_0"]
    + ["1e3", "1.5", "true", "null", "~", "''", str(2**63), str(-(2**64)), "½", "٣"]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.dates(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.integers(), inner, max_size=4)
    ),
    max_leaves=8,
)


@dataclass(frozen=True)
class Answer:
    """What a command printed and returned."""

    code: int
    output: str
    errors: str


def call(*arguments: str) -> Answer:
    """Runs a command as its process would, up to its exit."""
    output, errors = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)
        for _ in range(2)
    )
    code: Any = 0
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        try:
            main.main(args=list(arguments), prog_name="two-tower")
        except SystemExit as ended:
            code = ended.code or 0
    shown = [file.buffer.getvalue().decode("utf-8") for file in (output, errors)]  # type: ignore[attr-defined]
    return Answer(code, *shown)


def check(answer: Answer) -> None:
    """Fails unless a command succeeded or named in one line why it did not."""
    assert answer.code in (0, 1, 2, LockedError.exit_code), answer
    assert "Traceback" not in answer.output + answer.errors, answer
    assert "Unexpected" not in answer.errors, answer
    lines = answer.errors.splitlines()
    if answer.code and lines:
        # Click puts two lines on the usage before its own errors.
        assert lines[-1].startswith("Error: "), answer
        assert len(lines) == 1 or lines[0].startswith("Usage: "), answer
    elif answer.code:
        assert answer.output, answer  # `two-tower doctor` lists what fails


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The working directory, with a locked workspace and tiny ratings."""
    folder = tmp_path_factory.mktemp("fuzz")
    write_csv(folder / "data", [(u, m, 4.0, m) for u in (1, 2, 3) for m in (1, 2, 3)])
    Workspace.open(folder / "workspace", create=True)
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("TWO_TOWER", "KUBE", "KF_")):
                patch.delenv(name)
        patch.setenv("KUBECONFIG", str(folder / "no kube config"))
        patch.setenv("HOME", str(folder))
        patch.chdir(folder)
        with open(folder / "workspace" / ".lock", "a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield folder


def commands(
    command: click.Command, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command, with its names."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from commands(child, (*path, name))


ALL = list(commands(main))
# These would open a browser, reach a server, compile for seconds, write a timer or a
# line of the crontab, or wait for the lock.
NOT_GIVEN = {"opens", "kubeflow", "url", "local", "wait"}


def value_of(parameter: click.Parameter) -> st.SearchStrategy[str]:
    """A value on the command line, often one that has the right type."""
    if isinstance(parameter.type, click.Choice):
        return TEXT | st.sampled_from(list(parameter.type.choices))
    if parameter.name == "assignments":
        return st.tuples(st.sampled_from(KEYS) | TEXT, NUMBERS | TEXT).map("=".join)
    if parameter.name == "workspace":  # never a new one, in which a run would start
        return st.sampled_from(
            ["workspace", "data", "data/ratings.csv", "/", "", "a[b]", "x" * 5000]
        )
    if parameter.name in ("data_dir", "files", "archive", "checked"):
        return TEXT | st.sampled_from(
            ["workspace", "data", "data/ratings.csv", "none", "/", "", "x" * 5000]
        )
    if parameter.name in ("target", "output", "token_file"):  # what may be written to
        return TEXT.map(lambda name: f"out/{name}") | st.sampled_from(["data", ""])
    return TEXT | NUMBERS


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with arguments and some of its options."""
    path, command = draw(st.sampled_from(ALL))
    arguments = list(path)
    for parameter in command.params:
        if parameter.name in NOT_GIVEN or not draw(st.booleans()):
            continue
        value = draw(value_of(parameter))
        if isinstance(parameter, click.Argument):
            arguments.append(value)
        elif isinstance(parameter, click.Option) and parameter.is_flag:
            arguments.append(parameter.opts[-1])
        else:
            arguments += [parameter.opts[-1], value]
    if path in (("run",), ("tune",), ("retrain",)) and "--workspace" not in arguments:
        arguments += ["--workspace", "workspace"]
    if path == ("data", "fetch"):
        arguments += ["--archive", "none.zip"]
    if path == ("rehearse",):  # it would train
        arguments += ["--set", "train.epochs=0"]
    if path == ("compile",) and "--check" not in arguments:
        arguments += ["--set", "train.epochs=0"]
    if draw(st.integers(0, 9)) == 0:
        arguments.insert(draw(st.integers(0, len(arguments))), draw(TEXT))
    return arguments


def leaves(value: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every key of the configuration, sections included."""
    if path:
        yield ".".join(path)
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, (*path, name))


DEFAULTS = yaml.safe_load(dump(PipelineConfig()))
KEYS = [*leaves(DEFAULTS), "eval.floors.mrr", "eval.max_drop.x", "kubeflow.env.A"]


@given(command_lines())
@example(["run", "--data-dir", "data", "--set", "name=" + "a" * 64])
@example(["tune", "--data-dir", "data"])
@example(["runs", "two\nlines"])
def test_every_command_line_is_answered(folder: Path, arguments: list[str]) -> None:
    shutil.rmtree("out", ignore_errors=True)
    Path("out").mkdir()
    check(call(*arguments))


@given(
    st.lists(
        st.tuples(
            st.sampled_from(KEYS) | TEXT,
            NUMBERS | TEXT | VALUES.map(yaml.safe_dump) | VALUES.map(repr),
        ).map("=".join),
        min_size=1,
        max_size=3,
    )
)
@example(["name=\ud800"])
@example([f"eval.top_k=[{'9' * 5000}]"])
def test_every_value_of_the_configuration_is_answered(
    folder: Path, assignments: list[str]
) -> None:
    given = [part for text in assignments for part in ("--set", text)]
    answer = call("config", *(part.replace("\0", "") for part in given))
    check(answer)
    if not answer.code:
        (folder / "again.yaml").write_text(answer.output)
        assert call("config", "-c", "again.yaml") == answer


YAML = st.one_of(
    st.text(st.sampled_from("&*a: -[]{}!|>'\"#%@`\n\t,?1.~<"), max_size=60),
    st.fixed_dictionaries({}, optional={section: VALUES for section in DEFAULTS}).map(
        yaml.safe_dump
    ),
    st.sampled_from(KEYS).flatmap(
        lambda key: VALUES.map(lambda value: yaml.safe_dump(nested(key, value)))
    ),
)


def nested(key: str, value: Any) -> Any:
    """The mapping in which a dotted key has a value."""
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


@given(YAML.map(str.encode) | st.binary(max_size=40))
def test_every_yaml_file_is_answered(folder: Path, content: bytes) -> None:
    (folder / "mine.yaml").write_bytes(content)
    check(call("config", "-c", "mine.yaml"))


def recorded(folder: Path) -> Path:
    """A workspace with two runs that were evaluated, one of which was pushed."""
    workspace = Workspace.open(folder, create=True)
    records = Records(workspace)
    outputs = ("examples", "model_run", "evaluation", "blessing", "run_report")
    for run, version in (("20260301T0", "1"), ("20260302T0", None)):
        steps = {key: f"{key}-{run}" for key in outputs}
        pushed = {"pushed_model": version} if version else {}
        records.run(run, {**steps, **pushed})
        base = workspace.pipeline_root / "Step"
        metrics = {"hit_rate@10": 0.2, "ndcg@10": 0.1, "mrr": math.pi / 30}
        write(
            base / "evaluation" / f"evaluation-{run}" / "retrieval_summary.json",
            {
                "candidate": metrics,
                "popularity": metrics,
                "popularity_lift": metrics,
                "baseline": None,
                "intervals": {"candidate": {"mrr": [0.1, None]}},
                "blessed": True,
                "reasons": ["better"],
            },
        )
        write(
            base / "model_run" / f"model_run-{run}" / "train_report.json",
            {"loss": [1.0], "recall": [0.1], "tuned": {}, "train_seconds": 1.0},
        )
        (base / "run_report" / f"run_report-{run}" / "report.html").write_text("<p>")
        events = workspace.runs_dir / run / "events.jsonl"
        events.write_text('{"kind": "phase", "text": "x", "time": 1}\n')
        write(workspace.runs_dir / run / "summary.json", {"state": "succeeded"})
    write_info(workspace.serving_dir / "1")
    return folder


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content))


DAMAGE = st.one_of(
    st.tuples(st.just("cut"), st.floats(0, 1)),
    st.tuples(st.just("flip"), st.lists(st.tuples(st.floats(0, 1), st.binary()))),
    st.tuples(st.just("content"), st.binary(max_size=20)),
    st.tuples(st.just("content"), VALUES.map(lambda v: str(v).encode())),
    st.tuples(st.just("json"), VALUES.map(lambda v: json.dumps(v, default=str))),
    st.tuples(st.just("value"), st.tuples(st.integers(0, 20), VALUES)),
    st.tuples(st.just("gone"), st.none()),
    st.tuples(st.just("folder"), st.none()),
)


def damage(path: Path, kind: str, how: Any) -> None:
    """Damages a file as a crash, an editor or another program would."""
    content = bytearray(path.read_bytes())
    if kind == "cut":
        del content[int(how * len(content)) :]
    elif kind == "flip":
        for where, what in how:
            at = int(where * len(content))
            content[at : at + len(what)] = what
    elif kind == "content":
        content = bytearray(how)
    elif kind == "json":
        content = bytearray(how.encode())
    elif kind == "value" and content[:1] == b"{":
        is_lines = path.suffix == ".jsonl"
        whole = json.loads(content.splitlines()[0] if is_lines else content)
        name = list(whole)[how[0] % len(whole)]
        content = bytearray(json.dumps({**whole, name: how[1]}, default=str).encode())
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind != "gone":
        path.write_bytes(content)


READERS = st.sampled_from(
    [("runs",), ("runs", "--json"), ("report",), ("report", "20260301", "--json")]
    + [("compare", "20260301"), ("compare", "20260301", "--all", "--json")]
    + [("lineage", "1"), ("clean",), ("clean", "--keep", "1", "--yes"), ("doctor",)]
    + [("recommend", "--user", "1", "-k", "0"), ("run", "--data-dir", "data")]
)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("template") / "workspace")


@FEWER
@given(READERS, st.integers(0), DAMAGE)
def test_every_damaged_workspace_is_answered(
    folder: Path,
    template: Path,
    command: tuple[str, ...],
    which: int,
    how: tuple[str, Any],
) -> None:
    broken = folder / "broken"
    shutil.rmtree(broken, ignore_errors=True)
    shutil.copytree(template, broken)
    files = sorted(
        path
        for path in broken.rglob("*")
        if path.is_file() and path.name not in ("file", "run.log", ".lock")
    )
    damage(files[which % len(files)], *how)
    with open(broken / ".lock", "a+") as lock:
        if command[0] == "run":
            fcntl.flock(lock, fcntl.LOCK_EX)
        check(call(*command, "--workspace", "broken"))


@FEWER
@given(st.sampled_from(["ratings.csv", "movies.csv"]), DAMAGE)
def test_every_damaged_data_file_is_answered(
    folder: Path, name: str, how: tuple[str, Any]
) -> None:
    shutil.rmtree("damaged", ignore_errors=True)
    shutil.copytree("data", "damaged")
    damage(folder / "damaged" / name, *how)
    check(call("data", "info", "--data-dir", "damaged"))


@FEWER
@given(DAMAGE)
def test_every_damaged_compiled_file_is_answered(
    folder: Path, how: tuple[str, Any]
) -> None:
    shutil.rmtree("compiled", ignore_errors=True)
    path = folder / "compiled" / "pipeline.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump_all(documents()))
    damage(path, *how)
    answer = call("compile", "--check", "compiled/pipeline.yaml")
    if answer.code != 1:  # 1 lists what is wrong, before the line
        check(answer)
    assert "Unexpected" not in answer.errors, answer


def test_every_command_takes_part() -> None:
    assert {path[0] for path, _ in ALL} == set(COMMANDS)
