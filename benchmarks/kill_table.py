"""Kills a retraining at every moment, or fills its disk, and repeats the command.

    PYTHONPATH=. python benchmarks/kill_table.py --work /tmp/faults
    PYTHONPATH=. python benchmarks/kill_table.py --work /tmp/faults --disk
    PYTHONPATH=. python benchmarks/kill_table.py --work /tmp/faults --only Pusher

All cases are of one retraining: each begins with the same command, in the workspace
that the case before it has left, which thus shows whether the command goes on. At the
end it runs undisturbed, and its metrics must be those of a retraining that nothing
disturbed. Results are written after each case, and a table that was interrupted goes
on where it was. A full disk needs the right to mount a tmpfs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.faults.cases import Case, full_disks, kills
from benchmarks.faults.held_command import HeldCommand
from benchmarks.faults.state import State, events, inspect
from pipeline.retraining.outcome_log import read_outcomes

RESULTS: Final = Path(__file__).parent / "results"
_TMPFS: Final = {"workspace": "96m", "tmp": "32m"}


@dataclasses.dataclass
class Row:
    """One line of the table; `rerun` is known after the next case."""

    step: str
    moment: str
    fault: str
    found: str
    outcome: str
    rerun: str = ""
    seconds: float = 0.0
    is_good: bool = True


class Table:
    """The cases, one after another, in one workspace."""

    def __init__(self, work: Path, *, disk: bool) -> None:
        """Takes up what an earlier process has done."""
        self._work = work
        self._disk = disk
        self.name = "full_disk" if disk else "killed"
        self.workspace = work / "workspace"
        self._temp = work / "tmp"
        self._reference = work / "reference.json"
        self._rows = work / f"{self.name}.json"
        self.reference = _read(self._reference) or {}
        self.rows = [Row(**row) for row in _read(self._rows) or ()]
        for folder in (self.workspace, self._temp):
            folder.mkdir(parents=True, exist_ok=True)

    def save(self) -> None:
        """Writes the results so far."""
        rows = [*map(vars, self.rows)]
        self._rows.write_text(json.dumps(rows, indent=1) + "\n")

    def prepare(self) -> None:
        """Makes the data, a first model and an undisturbed retraining."""
        data = self._work / "data"
        if not data.exists():
            self._run("data", "synthesize", self._work / "all", *_SIZE)
            self._run(
                *("data", "split-spans", data, "--spans", "2"),
                *("--data-dir", self._work / "all"),
            )
        saved = self._work / "saved"
        if not saved.exists():
            self._run(*self._arguments(1))
            part = self._work / "saved.part"
            shutil.copytree(self.workspace, part, symlinks=True)
            part.rename(saved)
        if not self.reference:
            _restore(saved, self.workspace)
            self._keep_reference()
        if self._disk:
            for folder, size in _TMPFS.items():
                _mount(self._work / folder, size)
        # A tmpfs is empty after a restart of the machine.
        if not self.rows or not any(self.workspace.iterdir()):
            _restore(saved, self.workspace)

    def _keep_reference(self) -> None:
        start = time.monotonic()
        self._run(*self._arguments(2))
        state = inspect(self.workspace, self._temp)
        ended = [e for e in events(self.workspace) if "seconds" in e and "id" in e]
        self.reference = {
            "model": state.live_model,
            "seconds": round(time.monotonic() - start, 1),
            "steps": {event["id"]: event["seconds"] for event in ended},
            "metrics": self._metrics(),
            "pushed": self._pushed(),
        }
        _restore(self._work / "saved", self.workspace)
        self.reference["live"] = inspect(self.workspace, self._temp).live_model
        self._save_reference()

    def carry_out(self, case: Case) -> None:
        """Carries out one case and adds its row."""
        start = time.monotonic()
        command = HeldCommand(
            [*map(str, self._arguments(2))],
            self._work / "command",
            temp=self._temp,
            hold=case.hold,
        )
        row = Row(case.step, case.moment, case.fault, found="", outcome="")
        if not command.wait_until_held():
            row.outcome = f"did not come there (exit code {command.wait()})"
            row.is_good = False
        elif case.fault.startswith("kill"):
            row.outcome = self._kill(command, case)
        else:
            row.outcome = self._fill(command, case)
        row.is_good &= not row.outcome.startswith("BAD")
        self._describe_rerun()
        state = inspect(self.workspace, self._temp)
        row.found = state.in_words()
        row.is_good &= not state.faults and self._is_live_good(state)
        row.seconds = round(time.monotonic() - start, 1)
        self.rows.append(row)
        self.save()
        mark = "ok " if row.is_good else "BAD"
        print(
            mark,
            case.name,
            "|",
            row.found,
            "|",
            row.outcome,
            f"| {row.seconds} s",
            flush=True,
        )

    def finish(self) -> None:
        """Runs the command undisturbed, and compares."""
        if self.rows and self.rows[-1].step == "The end":
            return
        start = time.monotonic()
        text = self._run(*self._arguments(2))
        self._describe_rerun()
        state = inspect(self.workspace, self._temp)
        same = self._metrics() == self.reference["metrics"]
        pushed = self._pushed()
        outcome = (
            f"exit code 0; metrics {'the same' if same else 'DIFFERENT'}, "
            f"recorded as pushed {pushed} time(s)"
        )
        good = same and not state.faults and pushed == 1 and self._is_live_good(state)
        seconds = round(time.monotonic() - start, 1)
        self.rows.append(
            Row(
                "The end",
                "undisturbed",
                "none",
                state.in_words(),
                outcome,
                "",
                seconds,
                good,
            )
        )
        self.save()
        print(
            "ok " if good else "BAD",
            "The end |",
            state.in_words(),
            "|",
            outcome,
            flush=True,
        )
        if not good:
            print(text)

    def _kill(self, command: HeldCommand, case: Case) -> str:
        if case.share:
            command.go_on(case.share * self.reference["steps"].get(case.step, 1))
        only = case.fault == "kill pipeline"
        alive = command.kill(pipeline_only=only)
        if alive:
            return f"BAD: processes {alive} go on"
        if only:
            return _one_line(command, "killed")
        return "killed"

    def _fill(self, command: HeldCommand, case: Case) -> str:
        folder = self.workspace if case.fault == "full workspace" else self._temp
        filler = (
            folder / "lost+found" if folder == self.workspace else folder / "filler"
        )
        _fill(filler)
        command.go_on()
        code = command.wait()
        filler.unlink()
        if code == 0:
            return "not affected"
        return _one_line(command, "No space is left on the file system")

    def _describe_rerun(self) -> None:
        """Says in the row of the case before how its command went on."""
        if not self.rows:
            return
        found = events(self.workspace)
        states = {e["id"]: e["state"] for e in found if e["kind"] == "step"}
        cached = [step for step, state in states.items() if state == "cached"]
        done = [step for step, state in states.items() if state == "done"]
        texts = [e["text"] for e in found if e["kind"] == "train" and "text" in e]
        words = [f"{len(cached)} steps cached"]
        words += [f"{', '.join(done)} done"] if done else []
        self.rows[-1].rerun = ", ".join([*words, *texts])

    def _is_live_good(self, state: State) -> bool:
        """Whether the old model is live, or the one new model, whole and unchanged."""
        if state.live_model == self.reference["live"]:
            return True
        # Not the identity of the undisturbed one: the names of the functions in a
        # SavedModel depend on what was traced before, hence on the training resumed.
        new = self.reference.setdefault("new", state.live_model)
        self._save_reference()
        return state.live_model == new

    def _save_reference(self) -> None:
        content = json.dumps(self.reference, indent=1)
        self._reference.write_text(content + "\n")

    def _metrics(self) -> dict[str, Any]:
        newest = max((self.workspace / "runs").glob("2*/summary.json"))
        return json.loads(newest.read_bytes())["metrics"]

    def _pushed(self) -> int:
        """How many outcomes of the span say that a model was pushed."""
        outcomes = read_outcomes(self.workspace)
        return sum(o.span == "span-2" and o.status == "pushed" for o in outcomes)

    def _arguments(self, span: int) -> list[str | Path]:
        return [
            *("retrain", "--span", str(span), "--workspace", self.workspace),
            *("--data-dir", self._work / "data", *_SETTINGS),
        ]

    def _run(self, *arguments: str | Path) -> str:
        command = HeldCommand(
            [*map(str, arguments)], self._work / "command", temp=self._temp
        )
        if command.wait():
            raise SystemExit(f"{arguments} failed:\n{command.text()}")
        return command.text()


_SIZE: Final = ("--ratings", "10k", "--users", "300", "--movies", "200")
_SETTINGS: Final = ("-c", Path(__file__).parent / "faults" / "small.yaml")


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes()) if path.exists() else None


def _one_line(command: HeldCommand, wanted: str) -> str:
    """The line about the fault, or what is wrong with the output."""
    code, text = command.wait(), command.text()
    lines = [line.strip() for line in text.splitlines() if wanted in line]
    if "Traceback" in text:
        return f"BAD: exit code {code} and a traceback"
    if code != 1 or not lines:
        return f"BAD: exit code {code}: {text[-300:]!r}"
    return f"exit code 1, {len(lines)} x: {lines[0][:160]}"


def _fill(path: Path) -> None:
    with open(path, "wb", buffering=0) as file:
        for block in (1 << 20, 1 << 12):
            try:
                while True:
                    file.write(b"\0" * block)
            except OSError:
                continue


def _mount(folder: Path, size: str) -> None:
    if not folder.is_mount():
        options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        subprocess.run(["mount", *options], check=True)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def _restore(source: Path, target: Path) -> None:
    _empty(target)
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)


def write(table: Table, path: Path) -> None:
    """Writes the table as Markdown, and its values as JSON beside it."""
    lines = [
        "| step | moment | fault | state found | outcome | the same again | s |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in table.rows:
        cells = (
            row.step,
            row.moment,
            row.fault,
            row.found,
            row.outcome,
            row.rerun,
            f"{row.seconds:.0f}",
        )
        lines.append("| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |")
    path.with_suffix(".md").write_text("\n".join(lines) + "\n")
    content = {"reference": table.reference, "rows": [*map(vars, table.rows)]}
    path.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n")


def main() -> None:
    """Carries out what is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--disk", action="store_true", help="full disks, not kills")
    parser.add_argument("--only", metavar="STEP")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    table = Table(options.work.absolute(), disk=options.disk)
    table.prepare()
    cases = (full_disks if options.disk else kills)(table.reference["steps"])
    done = {f"{row.step}, {row.moment}, {row.fault}" for row in table.rows}
    for case in cases:
        if case.name not in done and options.only in (None, case.step):
            table.carry_out(case)
    table.finish()
    write(table, options.results / table.name)


if __name__ == "__main__":
    main()
