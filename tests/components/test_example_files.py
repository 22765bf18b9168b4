"""Files of rows are read as Arrow batches."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.example_batches import read_batches
from tests.fixtures.example_rows import write_examples

pytestmark = pytest.mark.slow


def test_rows_come_back_in_order_in_batches_of_the_size_wanted(tmp_path: Path) -> None:
    users = [b"u%d" % user for user in range(10)]
    write_examples(tmp_path, {"train": [{"user_id": [user]} for user in users]})
    (path,) = tmp_path.glob("*/*.gz")
    batches = read_batches(str(path), batch_size=7)
    found = [batch.column(0).flatten().to_pylist() for batch in batches]
    assert found == [users[:7], users[7:]]


def test_a_file_without_rows_has_no_batch(tmp_path: Path) -> None:
    write_examples(tmp_path, {"train": []})
    (path,) = tmp_path.glob("*/*.gz")
    assert list(read_batches(str(path))) == []
