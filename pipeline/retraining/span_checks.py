"""What can be wrong with a new span that a run would not notice.

An empty or a repeated span would be trained on without a word: the window around it has
enough ratings, and rows that are there twice are dropped.
"""

from __future__ import annotations

import filecmp
from collections.abc import Sequence
from pathlib import Path

from components.movielens_example_gen.inputs import editions
from components.movielens_example_gen.inputs.editions import FolderFiles
from components.movielens_example_gen.readers import text_files
from pipeline.retraining.spans import Spans


def unfit(spans: Spans, span: int) -> str | None:
    """Returns why there is nothing to learn from a span; None if there is.

    A folder without a ratings file is left to the run, which refuses it.

    Args:
      spans: All spans.
      span: The newest of the window.

    Raises:
      UserError: A file cannot be read.
    """
    folder = spans.folder(span)
    files = editions.find_files(folder.path) if folder else None
    if folder is None or files is None or not files.ratings:
        return None
    if not any(_has_rows(path, files) for path in files.ratings):
        return f"{spans.name(span)} has no ratings: {files.ratings[0]} is without a row"
    before = spans.before(span)
    other = editions.find_files(before.path) if before else None
    if before and other and _are_equal(files.ratings, other.ratings):
        return (
            f"{spans.name(span)} has the same ratings as {spans.name(before.span)}, "
            "byte for byte"
        )
    return None


def _has_rows(path: Path, files: FolderFiles) -> bool:
    lines = text_files.iter_lines(path, files.family)
    if files.family.has_header:
        next(lines, None)
    return next(lines, None) is not None


def _are_equal(some: Sequence[Path], others: Sequence[Path]) -> bool:
    return len(some) == len(others) and all(
        filecmp.cmp(one, other, shallow=False)
        for one, other in zip(some, others, strict=True)
    )
