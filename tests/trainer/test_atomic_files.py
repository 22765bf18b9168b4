"""Files are whole, durable and where they should be, whatever lies in the way."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from trainer.atomic_files import write_bytes, write_json, write_link, write_text


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fsync(descriptor: int, real: Any = os.fsync) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name[:6])
        real(descriptor)

    def replace(source: Path, target: Path, real: Any = os.replace) -> None:
        calls.append("rename")
        real(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    write_text(tmp_path / "file", "text")
    assert calls == [".part-", "rename", tmp_path.name[:6]]
    assert (tmp_path / "file").read_text() == "text"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_links_with_likely_names_are_not_followed(tmp_path: Path) -> None:
    """As in a folder that others can write to."""
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "shared"
    folder.mkdir()
    for name in (".pipeline.yaml", f".pipeline.yaml.{os.getpid()}", "pipeline.yaml"):
        (folder / name).symlink_to(victim)
    write_text(folder / "pipeline.yaml", "mine")
    assert victim.read_text() == "precious"
    assert (folder / "pipeline.yaml").read_text() == "mine"
    assert not (folder / "pipeline.yaml").is_symlink()


def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "file", {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


def test_the_longest_name_is_no_longer_with_the_part(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 255), "text")


def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path: Path) -> None:
    write_text(Path("/dev/null"), "text")
    assert Path("/dev/null").is_char_device()
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "folder", "text")


def test_a_link_is_replaced_at_once(tmp_path: Path) -> None:
    for target in ("a", "b"):
        write_link(tmp_path / "latest", target)
        assert os.readlink(tmp_path / "latest") == target
    assert [path.name for path in tmp_path.iterdir()] == ["latest"]


WRITE_FOREVER = """
import sys
from pathlib import Path
from trainer.atomic_files import write_bytes
write_bytes(Path(sys.argv[1]), b"first")
print("first", flush=True)
while True:
    for byte in (b"a", b"b"):
        write_bytes(Path(sys.argv[1]), byte * 1_000_000)
"""


def test_a_killed_process_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    command = [sys.executable, "-c", WRITE_FOREVER, str(path)]
    for _ in range(3):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout
            process.stdout.readline()
            process.send_signal(signal.SIGKILL)
        content = path.read_bytes()
        assert content in (b"first", b"a" * 1_000_000, b"b" * 1_000_000)
    write_bytes(path, b"after")
    assert path.read_bytes() == b"after"
