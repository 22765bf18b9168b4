"""Whatever a path holds, what is started is that path."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.local.schedule import crontab, systemd_timer
from pipeline.local.schedule.definition import Schedule, script
from trainer.errors import UsageError

ODD = 'it\'s 100% "odd" $HOME `x` ; # \\ é'
paths = st.text(
    st.one_of(
        st.sampled_from("%$\\\"'; #~&|*?<>(){}[]!`\t\n"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    )
).map(lambda text: f"/{text}")


def schedule(folder: str = "/home/me/x", **changes: object) -> Schedule:
    fixed: dict[str, object] = {
        "name": "daily",
        "expression": "0 3 * * *",
        "time_zone": "UTC",
        "follower": "cron",
        "workspace": "/data/workspace",
        "folder": folder,
        "log_file": "/home/me/log",
    }
    return Schedule(**{**fixed, **changes})  # type: ignore[arg-type]


def systemd_reads(text: str) -> list[str]:
    """Splits and unescapes a command line as systemd.syntax(7) says."""
    words = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', text)
    found = []
    for quoted, bare in words:
        content = bare or re.sub(
            rb"\\x([0-9a-f]{2})",
            lambda match: bytes.fromhex(match[1].decode()),
            quoted.encode(),
        ).decode("utf-8", "surrogateescape")
        assert not re.search(r"(?<!%)(%%)*%(?!%)", content), "a specifier"
        found.append(content.replace("%%", "%").replace("$$", "$"))
    return found


def cron_reads(line: bytes) -> str:
    """What cron gives to the shell: an unescaped % would end it."""
    command = line.split(b" ", maxsplit=5)[5]
    assert not re.search(rb"(?<!\\)%", command)
    return os.fsdecode(command.replace(b"\\%", b"%"))


@given(paths)
def test_systemd_starts_the_script_of_any_folder(folder: str) -> None:
    service = systemd_timer.units(schedule(folder))["two-tower-daily.service"]
    [line] = [x for x in service.split("\n") if x.startswith("ExecStart=")]
    command = systemd_reads(line.removeprefix("ExecStart="))
    assert command == ["/bin/sh", f"{folder}/run.sh"]


@given(paths)
def test_cron_starts_the_script_of_any_folder_or_refuses_it(folder: str) -> None:
    plan = schedule(folder)
    try:
        crontab.check(plan)
    except UsageError:
        assert re.search(
            r"[\\\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\u061c\u200e-\u202e]|"
            r"[\u2066-\u2069]",
            folder,
        )
        return
    line = crontab.line(plan)
    assert b"\n" not in line
    command = shlex.split(cron_reads(line), comments=True)
    assert command == ["/bin/sh", f"{folder}/run.sh"]


def test_the_shell_starts_what_the_script_names(tmp_path: Path) -> None:
    folder = tmp_path / f"{ODD}\n2nd line"
    folder.mkdir()
    log = folder / f"{ODD}.log"
    plan = schedule(
        str(folder),
        python="/bin/echo",
        import_path=(f"/{ODD}",),
        log_file=str(log),
    )
    done = subprocess.run(
        ["/bin/sh", "-c", script(plan)],
        env={},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("", "")
    assert log.read_text() == f"-m pipeline schedule tick {folder}\n"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze", path="/usr/bin:/bin")
    for follower_expression in ("0 3 1,15 * MON", "*/10 0 0-6 * * *"):
        plan = schedule(f"/{ODD}", expression=follower_expression)
        for name, content in systemd_timer.units(plan).items():
            (tmp_path / name).write_text(content)
    files = [str(path) for path in tmp_path.glob("two-tower-*")]
    done = subprocess.run(
        [str(analyze), "--user", "verify", *files],
        env={"XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
