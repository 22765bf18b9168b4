"""The whole pipeline on synthetic ratings, run once for all tests that read it.

Also how `make test` spreads the tests over two processes, and how long hypothesis looks
for failures.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

from pipeline.datasets import synthetic_ratings
from pipeline.datasets.split_spans import split_spans
from pipeline.datasets.synthesize import synthesize
from pipeline.datasets.synthetic_ratings import SynthesisConfig
from tests.fixtures.warm_python import WarmPython, warm_python

REPOSITORY = Path(__file__).resolve().parent.parent
# Or argparse looks for translations in each of the hundreds of parsers of a Beam job.
os.environ.setdefault("LANGUAGE", "C")
# A shell lets what it starts in the background ignore SIGINT, which tests send.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Tests that one process of pytest-xdist runs as a whole, because they share a fixture
# that is slow to make. Of all other tests, a file is such a group.
GROUPS = {
    "chain": (
        "tests/test_end_to_end.py",
        "tests/test_served_model.py",
        "tests/test_tuning.py",
        "tests/pipeline/cli/test_export_embeddings.py",
        "tests/pipeline/cli/test_feedback.py",
        "tests/pipeline/cli/test_history.py",
        "tests/pipeline/cli/test_recommend.py",
        "tests/pipeline/serving/batch/test_batch.py",
        "tests/pipeline/serving/batch/test_shadow.py",
        "tests/pipeline/serving/demo/test_api.py",
        "tests/pipeline/serving/demo/test_in_browser.py",
    ),
    # They read the first local run and run none, so they may run beside those; and
    # the processes of their steps are forks of one process.
    "cluster": (
        "tests/pipeline/kubeflow/test_chain.py",
        "tests/pipeline/kubeflow/test_days_of_a_schedule.py",
        "tests/pipeline/kubeflow/test_step_entrypoint.py",
        "tests/engines/",
    ),
    "kubeflow": ("tests/pipeline/kubeflow/",),
    "evaluator": ("tests/components/evaluator/",),
    "exported": (
        "tests/trainer/test_export.py",
        "tests/trainer/test_fuzzed_requests.py",
        "tests/components/servability_check/",
        "tests/trainer/test_recommend.py",
    ),
}
# Small enough for seconds, large enough to learn the planted taste.
SETTINGS = (
    "train.epochs=20",
    "train.batch_size=32",
    "train.learning_rate=0.005",
    "train.validation_queries=40",
    "model.embedding_dim=16",
    "model.title_tokens=100",
)
# The synthetic ratings also come in spans, both of which the run reads.
DAYS = ("2026-03-01", "2026-03-08")
# Hypothesis makes the same input in every run, and little of it; with
# `HYPOTHESIS_PROFILE=fuzz` it makes much more, and other input in each run. There is no
# deadline, since the machine may be busy with something else.
hypothesis.settings.register_profile(
    "quick", deadline=None, derandomize=True, max_examples=50
)
hypothesis.settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=2000,
    print_blob=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
PROFILE = os.environ.get("HYPOTHESIS_PROFILE", "quick")
hypothesis.settings.load_profile(PROFILE)


class GroupScheduling(LoadFileScheduling):
    """Sends each group of tests to one process; `make test` starts two processes."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)  # without pytest-xdist there is no such hook
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    """Replaces `--dist loadgroup`, which has no effect with pytest 9.2."""
    return GroupScheduling(config, log)


def group_of(nodeid: str) -> str:
    """Returns the group that a test belongs to."""
    path = nodeid.partition("::")[0]
    groups = (name for name, paths in GROUPS.items() if path.startswith(paths))
    return next(groups, path)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sorts long groups to the start, so that those which end last are short.

    Tests that hypothesis feeds get the marker `fuzz`.
    """
    for item in items:
        if getattr(getattr(item, "obj", None), "is_hypothesis_test", False):
            item.add_marker("fuzz")
            if PROFILE == "fuzz":
                item.add_marker(pytest.mark.timeout(0))
        if "chain" in getattr(item, "fixturenames", ()):
            # Two processes that run commands on one workspace would disturb each other.
            assert group_of(item.nodeid) in ("chain", "cluster"), item.nodeid
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=_start_order)


def _start_order(item: pytest.Item) -> int:
    is_slow = item.get_closest_marker("slow") is not None
    groups = ["chain", "tests/test_real_data.py", "cluster"]
    group = group_of(item.nodeid)
    return groups.index(group) if group in groups else 4 - is_slow


@pytest.fixture(scope="module", autouse=True)
def _nothing_old_is_searched() -> None:
    """Takes what there is before a file's tests out of the garbage collector's sight.

    PyArrow searches all objects for references after each error, and hypothesis
    collects garbage often: among a million objects of the imports and of tests before,
    a test takes ten times as long.
    """
    gc.collect()
    gc.freeze()


@dataclass(frozen=True)
class Outcome:
    """The exit code and the output of a command."""

    exit_code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Chain:
    """A workspace, and how to run commands on it as a user would.

    Attributes:
      workspace: The folder.
      data: The ratings in one folder.
      spans: The same ratings and movies in two spans.
      first: Summary of the first run, which later runs do not change.
      first_log: Its log, which `two-tower clean` removes.
      prefix: What is put before each command.
      python: Forks the processes of the commands, which without it start Python anew.
    """

    workspace: Path
    data: Path
    spans: Path
    first: dict[str, Any] = field(default_factory=dict)
    first_log: str = ""
    prefix: tuple[str, ...] = ()
    python: WarmPython | None = None

    def two_tower(self, *arguments: str) -> Outcome:
        """Runs a command on the workspace in a process of its own."""
        command = [*self.prefix, sys.executable, "-m", "pipeline", *arguments]
        # Wide, so that no table is cut.
        environment = {**os.environ, "COLUMNS": "160"}
        environment["TWO_TOWER_WORKSPACE"] = str(self.workspace)
        if self.python is not None:
            done = self.python.run(command, cwd=REPOSITORY, env=environment)
        else:
            done = subprocess.run(
                command,
                cwd=REPOSITORY,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
        return Outcome(done.returncode, done.stdout, done.stderr)

    def run(self, *arguments: str, data: Path | None = None) -> Outcome:
        """Runs the pipeline on both spans, or on the files of a folder."""
        last_day = () if data else (f"data.last_span={DAYS[-1]}",)
        settings = (*SETTINGS, *last_day)
        changes = [part for setting in settings for part in ("--set", setting)]
        return self.two_tower(
            "run", "--data-dir", str(data or self.spans), *changes, *arguments
        )

    def summary(self) -> dict[str, Any]:
        """Reads the summary of the newest run."""
        text = (self.workspace / "runs" / "latest" / "summary.json").read_text()
        summary: dict[str, Any] = json.loads(text)
        return summary

    def states(self) -> dict[str, str]:
        """Returns step -> state of the newest run."""
        return {step["id"]: step["state"] for step in self.summary()["steps"]}


@pytest.fixture(scope="session")
def small_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SavedModel of `tests.fixtures.exported_model`; only the group "exported"."""
    from tests.fixtures.exported_model import export_small_model  # noqa: PLC0415

    return export_small_model(tmp_path_factory.mktemp("exported"))


@pytest.fixture(scope="session")
def small_model(small_export: Path) -> Any:
    """The same, loaded once: no test may change it."""
    import tensorflow as tf  # noqa: PLC0415 - most tests do not need it

    return tf.saved_model.load(str(small_export))


@pytest.fixture(scope="session")
def python() -> Iterator[WarmPython | None]:
    """Runs commands that need TFX; None where coverage measures their processes."""
    if "coverage" in sys.modules:
        yield None
        return
    with warm_python() as warm:
        yield warm


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory, python: WarmPython | None) -> Chain:
    """A workspace in which the pipeline ran once, to a pushed model.

    Processes of pytest-xdist share it: the second waits for the first to make it. Only
    tests of the group "chain" may run more commands on the workspace. The first run is
    a user's to the letter; the processes of later commands are forks.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "chain"
    chain = Chain(folder / "workspace", folder / "data", folder / "spans")
    summary, log = folder / "first.json", folder / "first.log"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not summary.exists():
            _make_ratings(chain)
            outcome = chain.run()
            assert outcome.exit_code == 0, outcome.output + outcome.errors
            run = chain.workspace / "runs" / "latest"
            shutil.copy(run / "run.log", log)
            shutil.copy(run / "summary.json", summary)
    first = json.loads(summary.read_text())
    return replace(chain, first=first, first_log=log.read_text(), python=python)


def _make_ratings(chain: Chain) -> None:
    """Writes synthetic ratings to one folder, and the same ratings to two spans."""
    config = SynthesisConfig(ratings=6000, users=200, movies=60, format="ml-100k")
    synthesize(chain.data, config)
    _rate_in_sittings(chain.data / "u.data")
    _give_two_movies_one_title(chain.data / "u.item")
    split_spans(chain.data, chain.spans, num_spans=len(DAYS))
    for number, day in enumerate(DAYS, start=1):
        (chain.spans / f"span-{number}").rename(chain.spans / day)
    for path in (chain.data, chain.spans / DAYS[-1]):
        _list_a_new_movie(path / "u.item")


def _rate_in_sittings(ratings: Path) -> None:
    """Has each user rate the movies of one group after those of another.

    As people rate like movies in one sitting. Who rated what and when stays as it is,
    but the order of a user's movies now says what comes next.
    """
    of_user = defaultdict(list)
    for line in ratings.read_text().splitlines():
        user, movie, stars, at = line.split("\t")
        of_user[user].append((int(at), int(movie), stars))
    count, generator = len(synthetic_ratings.GENRES), random.Random(1)
    lines = []
    for user, events in of_user.items():
        groups = generator.sample(range(count), count)
        in_sittings = sorted(
            events, key=lambda e: groups[synthetic_ratings.group_of(e[1] - 1)]
        )
        times = sorted(at for at, _, _ in events)
        lines += [
            f"{user}\t{movie}\t{stars}\t{at}\n"
            for at, (_, movie, stars) in zip(times, in_sittings, strict=True)
        ]
    ratings.write_text("".join(lines))


def _give_two_movies_one_title(items: Path) -> None:
    """Gives movies 1 and 2 the same title, as 18 pairs of ML-100K have."""
    lines = items.read_text("latin-1").splitlines()
    for index in (0, 1):
        fields = lines[index].split("|")
        fields[1] = "Hamlet (2000)"
        lines[index] = "|".join(fields)
    items.write_text("\n".join(lines) + "\n", "latin-1")


def _list_a_new_movie(items: Path) -> None:
    """Adds movie 61, which nobody has rated."""
    genres = "|".join(["0"] * 5 + ["1"] + ["0"] * 13)
    with items.open("a", encoding="latin-1") as file:
        file.write(f"61|Brand New (2026)|01-Mar-2026|||{genres}\n")
