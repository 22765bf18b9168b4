"""Every module that opens Parquet or Arrow IPC refuses code in it (CVE-2023-47248)."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_OPENS = re.compile(
    r"pa\.ipc\.(open|read)|ParquetFile\(|read_(table|parquet|feather|schema|metadata)\("
    r"|pyarrow\.(dataset|feather)|ParquetDataset"
)


def test_no_module_opens_an_arrow_file_without_refusing_code() -> None:
    opening = {
        path
        for package in ("pipeline", "components", "trainer")
        for path in (ROOT / package).rglob("*.py")
        if _OPENS.search(path.read_text())
    }
    assert opening, "the pattern finds nothing"
    unsafe = {p.name for p in opening if "refuse_code()" not in p.read_text()}
    assert not unsafe
