"""Schedules of this machine from their creation to their end."""

from __future__ import annotations

import datetime
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pipeline.cli import main
from pipeline.local.schedule import definition, env_file, runner
from pipeline.local.schedule.definition import Schedule, load
from pipeline.retraining.outcome import NO_REASON_EXIT
from tests.conftest import REPOSITORY
from trainer.errors import UserError

DAILY = ("--cron", "0 3 * * *", "--time-zone", "UTC")
YESTERDAY = (*DAILY, "--span", "yesterday")
OTHERS = b"# mine, not UTF-8: \xff\nMAILTO=me\n\n*/5 * * * * echo 100\\% # x\n"
UTC = datetime.timezone.utc


def two_tower(*arguments: str, exit_code: int = 0) -> str:
    """Runs a command of `two-tower schedule`; returns all that it prints."""
    done = CliRunner().invoke(main, ["schedule", *arguments])
    if not isinstance(done.exception, SystemExit | None):
        raise done.exception
    printed = done.output
    if "stderr" not in printed and done.stderr_bytes and done.stderr not in printed:
        printed += done.stderr
    assert done.exit_code == exit_code, printed
    return printed


@pytest.fixture(autouse=True)
def cron_follows_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.local.schedule.manage.machine_zone", lambda: "UTC")


def create(*arguments: str, exit_code: int = 0) -> str:
    return two_tower("create", "--local", *arguments, exit_code=exit_code)


def test_a_line_of_the_crontab_is_added_paused_resumed_and_removed(
    crontab: Path,
) -> None:
    crontab.write_bytes(OTHERS)
    assert "two-tower: at 03:00:00 every day, UTC time, by cron" in create(*YESTERDAY)
    line = crontab.read_bytes().removeprefix(OTHERS)
    assert line.startswith(b"0 3 * * * /bin/sh /")
    assert line.endswith(b"/run.sh # two-tower schedule two-tower\n")
    two_tower("pause", "--local", "two-tower")
    assert crontab.read_bytes() == OTHERS + b"#paused " + line
    assert "paused" in two_tower("list", "--local")
    two_tower("resume", "--local", "two-tower")
    assert crontab.read_bytes() == OTHERS + line
    two_tower("delete", "--local", "two-tower")
    assert crontab.read_bytes() == OTHERS
    assert "No schedules" in two_tower("list", "--local")


def test_a_timer_is_started_paused_resumed_and_removed(
    home: Path, systemctl: Path
) -> None:
    create(*YESTERDAY)
    units = home / "config" / "systemd" / "user"
    timer = (units / "two-tower-two-tower.timer").read_text()
    assert "\nOnCalendar=*-*-* 03:00:00 UTC\n" in timer
    assert "\nPersistent=true\n" in timer
    active = systemctl / "two-tower-two-tower.timer"
    assert active.exists()
    stamp = home / "data" / "systemd" / "timers" / f"stamp-{active.name}"
    os.utime(stamp, (0, 0))
    two_tower("pause", "--local", "two-tower")
    assert not active.exists()
    assert " paused " in two_tower("list", "--local")
    two_tower("resume", "--local", "two-tower")
    # What was due while it was paused is not made up for.
    assert time.time() - stamp.stat().st_mtime < 60
    two_tower("delete", "--local", "two-tower")
    assert not active.exists()
    assert list(units.iterdir()) == []
    assert not stamp.exists()


def test_the_same_schedule_is_created_once_and_another_replaces_it_if_asked(
    crontab: Path,
) -> None:
    create(*YESTERDAY)
    before = crontab.read_bytes()
    assert "unchanged" in create(*YESTERDAY)
    two_tower("pause", "--local", "two-tower")
    create(*YESTERDAY)
    assert crontab.read_bytes() == b"#paused " + before
    refused = create(*DAILY, "--newest", exit_code=1)
    assert "There is another schedule 'two-tower'" in refused
    assert load("two-tower").span == "yesterday"
    create(*DAILY, "--newest", "--replace")
    assert load("two-tower").span is None
    assert crontab.read_bytes() == before
    create(*DAILY, "--newest", "--name", "second")
    assert crontab.read_bytes().count(b"\n") == 2
    # A changed configuration is another schedule, too.
    create(*DAILY, "--newest", "--set", "train.epochs=2", exit_code=1)


@pytest.mark.parametrize("follower", ["crontab", "systemctl"])
def test_a_creation_that_fails_leaves_what_was_there(
    follower: str, home: Path, request: pytest.FixtureRequest
) -> None:
    path: Path = request.getfixturevalue(follower)
    create(*YESTERDAY)
    denied = path / "denied" if path.is_dir() else path.with_name("crontab.denied")
    denied.touch()
    message = create(*DAILY, "--newest", "--name", "second", exit_code=1)
    assert "not allowed" in message or "access denied" in message
    create(
        "--cron",
        "0 4 * * *",
        "--time-zone",
        "UTC",
        "--newest",
        "--replace",
        exit_code=1,
    )
    denied.unlink()
    assert two_tower("list", "--local").count("\n") == 1
    assert load("two-tower").span == "yesterday"
    assert not list(home.glob("config/**/*second*"))


def test_a_crontab_that_somebody_changes_at_the_same_time_keeps_both_changes(
    crontab: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipeline.local.schedule import crontab as module

    read = module._read
    edits = iter([b"", b"first\n", b"first\n", b"first\nsecond\n"])

    def edited() -> bytes:
        if (text := next(edits, None)) is not None:
            crontab.write_bytes(text)
        return read()

    monkeypatch.setattr(module, "_read", edited)
    create(*YESTERDAY)
    lines = crontab.read_bytes().split(b"\n")
    assert lines[:2] == [b"first", b"second"]
    assert lines[2].endswith(b"# two-tower schedule two-tower")


def test_without_systemd_and_cron_the_command_to_start_by_hand_is_named(
    home: Path,
) -> None:
    message = create(*YESTERDAY, "--set", "train.epochs=2", exit_code=1)
    assert "neither a systemd manager of this user nor crontab" in message
    command = f"two-tower retrain --workspace {home}/workspace --set=train.epochs=2"
    assert command in message
    assert sorted(path.name for path in home.iterdir()) == ["bin"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (DAILY, "needs either --span or --newest"),
        ((*DAILY, "--span", "latest"), "trains on old data again"),
        ((*YESTERDAY, "--name", "a b"), "cannot be named 'a b'"),
        ((*YESTERDAY, "--max-concurrency", "2"), "--max-concurrency belongs to"),
        (("--cron", "0 0 3 * *", "--newest", "--time-zone", "Mars/X"), "no time zone"),
        (("--cron", "5 0 3 * * *", "--newest"), "cron has no seconds"),
        ((*YESTERDAY, "--time-zone", "Asia/Tokyo"), "cron follows the clock of this"),
        ((*YESTERDAY, "--scheduler", "systemd"), "systemd cannot be used"),
    ],
)
def test_each_error_is_one_line_and_leaves_nothing(
    arguments: tuple[str, ...], message: str, crontab: Path, home: Path
) -> None:
    code = 1 if "cannot be used" in message else 2
    printed = create(*arguments, exit_code=code)
    assert message in printed.strip().splitlines()[-1]
    assert not crontab.exists()
    assert not (home / "config").exists()


def test_the_next_ticks_are_shown_with_the_span_that_each_reads(crontab: Path) -> None:
    create(*YESTERDAY, "--data-dir", "ratings", "--catch-up")
    shown = two_tower("show", "--local", "two-tower")
    found = re.findall(r"\w{3} ([\d-]{10}) 03:00:00 UTC \(UTC\+0000\) +([\d-]+)", shown)
    assert len(found) == 5
    for tick, span in found:
        day = datetime.date.fromisoformat(tick) - datetime.timedelta(days=1)
        assert span == day.isoformat()
    assert f"--date {found[0][1]} --catch-up=all --wait=3600" in shown


def test_a_damaged_schedule_is_listed_and_can_be_deleted(crontab: Path) -> None:
    create(*YESTERDAY)
    path = Path(load("two-tower").folder) / "schedule.json"
    path.write_text("{")
    assert "damaged" in two_tower("list", "--local")
    assert "cannot be read" in two_tower("show", "--local", "two-tower", exit_code=1)
    two_tower("delete", "--local", "two-tower")
    assert crontab.read_bytes() == b""


def test_no_reason_to_retrain_is_no_failure(home: Path, systemctl: Path) -> None:
    create(*YESTERDAY, "--if-needed")
    service = home / "config" / "systemd" / "user" / "two-tower-two-tower.service"
    assert f"\nSuccessExitStatus={NO_REASON_EXIT}\n" in service.read_text()
    assert "--if-needed" in two_tower("show", "--local", "two-tower")


def plan(home: Path, **changes: object) -> Schedule:
    fixed: dict[str, object] = {
        "name": "daily",
        "expression": "0 3 * * *",
        "time_zone": "Europe/Berlin",
        "follower": "systemd",
        "workspace": str(home / "workspace"),
        "folder": str(home / "daily"),
        "log_file": str(home / "logs" / "daily.log"),
        "span": "yesterday",
    }
    return Schedule(**{**fixed, **changes})  # type: ignore[arg-type]


def test_a_late_start_reads_the_day_of_its_tick(home: Path) -> None:
    """Case 52: due at three in Berlin, started after the next midnight there."""
    due = datetime.datetime(2026, 3, 29, 1, 0, 1, tzinfo=UTC)  # 03:00:01, summer time
    systemd = {"TRIGGER_TIMER_REALTIME_USEC": str(int(due.timestamp() * 1e6))}
    tick = runner.current_tick(plan(home), systemd)
    assert tick == datetime.datetime(2026, 3, 29, 1, tzinfo=UTC)
    assert runner.day_of(plan(home), tick) == "2026-03-28"
    hours_late = {
        "TRIGGER_TIMER_REALTIME_USEC": str(int(due.timestamp() + 82800) * 10**6)
    }
    assert runner.current_tick(plan(home), hours_late) == tick


def test_without_a_time_from_systemd_it_is_the_newest_tick(home: Path) -> None:
    now = datetime.datetime.now(UTC)
    tick = runner.current_tick(plan(home, expression="* * * * *"), {})
    assert datetime.timedelta(0) <= now - tick < datetime.timedelta(minutes=1)


def start(folder: str) -> subprocess.CompletedProcess[str]:
    """What cron does: almost no variables."""
    return subprocess.run(
        ["/bin/sh", f"{folder}/run.sh"],
        env={"HOME": "/", "PATH": "/usr/bin:/bin"},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_cron_starts_is_retrain_with_all_variables(
    crontab: Path, home: Path
) -> None:
    secrets = home / "secrets"
    secrets.write_text("# mine\nexport TWO_TOWER_TRACEBACK='1'\n")
    secrets.chmod(0o600)
    create(*YESTERDAY, "--env-file", "secrets", "--data-dir", "no ratings")
    schedule = load("two-tower")
    assert str(REPOSITORY) in schedule.import_path
    assert schedule.python == sys.executable
    done = start(schedule.folder)
    assert (done.stdout, done.stderr) == ("", "")
    log = Path(schedule.log_file)
    first, *rest = log.read_text().splitlines()
    assert re.fullmatch(
        r"two-tower schedule two-tower: tick of .*T03:00:00\+00:00", first
    )
    assert done.returncode == 2
    assert any("no ratings" in line for line in rest), rest
    # A log that has grown is kept once more.
    os.truncate(log, definition.MAX_LOG_BYTES + 1)
    secrets.chmod(0o644)
    assert start(schedule.folder).returncode == 1
    assert "Others may read the file of variables" in log.read_text()
    assert log.with_name("two-tower.log.1").stat().st_size > definition.MAX_LOG_BYTES


def test_a_workspace_that_is_not_mounted_is_not_made_anew(
    crontab: Path, home: Path
) -> None:
    create(*YESTERDAY)
    (home / "workspace").rename(home / "unmounted")
    schedule = load("two-tower")
    assert start(schedule.folder).returncode == 1
    assert "There is no workspace at" in Path(schedule.log_file).read_text()
    assert not (home / "workspace").exists()


def test_a_line_of_the_file_of_variables_that_is_not_one_is_named_without_its_value(
    home: Path,
) -> None:
    path = home / "secrets"
    path.write_text("A=1\n\n# x\nB = hunter2\n")
    path.chmod(0o600)
    with pytest.raises(UserError, match="secrets line 4 is not NAME=value") as raised:
        env_file.read(path)
    assert "hunter2" not in str(raised.value)
