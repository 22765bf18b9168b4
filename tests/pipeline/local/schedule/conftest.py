"""A home of its own, and stand-ins for the crontab and systemctl of a user."""

from __future__ import annotations

from pathlib import Path

import pytest

CRONTAB = """#!/bin/sh
# What crontab(1) does with a user's crontab.
case "$1" in
  -l) cat "$CRONTAB_FILE" 2>/dev/null || { echo "no crontab for me" >&2; exit 1; } ;;
  -) [ ! -e "$CRONTAB_FILE.denied" ] || { echo "not allowed" >&2; exit 1; }
     cat > "$CRONTAB_FILE.new" && mv "$CRONTAB_FILE.new" "$CRONTAB_FILE" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
# Units are loaded if their file is there, and active if they were enabled.
shift 2
for unit in "$@"; do :; done
file="$XDG_CONFIG_HOME/systemd/user/$unit"
echo "$*" >> "$SYSTEMCTL_STATE/calls"
case "$*" in
  enable*) [ ! -e "$SYSTEMCTL_STATE/denied" ] || { echo "access denied" >&2; exit 1; }
     touch "$SYSTEMCTL_STATE/$unit" ;;
  disable*|stop*) rm -f "$SYSTEMCTL_STATE/$unit" ;;
  *FragmentPath*) [ ! -e "$file" ] || echo "FragmentPath=$file" ;;
  *LoadState*) [ -e "$file" ] && echo LoadState=loaded || echo LoadState=not-found ;;
  *ActiveState*) [ -e "$SYSTEMCTL_STATE/$unit" ] && echo ActiveState=active ;;
esac
exit 0
"""


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with everything that a user has; there is no systemd, and no cron."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("TWO_TOWER_WORKSPACE", raising=False)
    monkeypatch.setenv("COLUMNS", "300")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "cat", "mv", "touch", "rm"):
        (tmp_path / "bin" / name).symlink_to(f"/bin/{name}")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.fixture
def crontab(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the crontab of the user, not there yet."""
    _program(home / "bin" / "crontab", CRONTAB)
    path = home / "crontab"
    monkeypatch.setenv("CRONTAB_FILE", str(path))
    return path


@pytest.fixture
def systemctl(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the manager of the user keeps what is active."""
    _program(home / "bin" / "systemctl", SYSTEMCTL)
    path = home / "systemd"
    path.mkdir()
    monkeypatch.setenv("SYSTEMCTL_STATE", str(path))
    return path


def _program(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)
