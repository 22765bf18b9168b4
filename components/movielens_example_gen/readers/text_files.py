"""Text files in the encoding of their family, and the columns of a CSV header."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from components.movielens_example_gen.inputs.editions import Family
from trainer.errors import UserError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def check_is_text(path: Path, block: bytes) -> None:
    """Refuses a file in UTF-16 or with binary content.

    Raises:
      UserError: The file is not text in an encoding that MovieLens uses.
    """
    if block[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in block[:4096]:
        raise UserError(
            f"{path} is not UTF-8 text: it begins with {block[:4]!r}",
            "Save it as UTF-8 (for instance with `iconv -f UTF-16 -t UTF-8`).",
        )


def decode(path: Path, family: Family) -> str:
    """Returns the file's text, without a byte-order mark.

    Raises:
      UserError: The file is not in the family's encoding.
    """
    data = path.read_bytes()
    check_is_text(path, data)
    data = data.removeprefix(BYTE_ORDER_MARK)
    try:
        return data.decode(family.encoding)
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        content = data.split(b"\n")[line - 1]
        raise UserError(
            f"{path} line {line}: byte {data[e.start : e.end]!r} is not "
            f"{family.encoding} ({content[:120]!r})",
            "Save the file as UTF-8 (for instance with `iconv -f LATIN1 -t UTF-8`).",
        ) from None


def find_columns(
    path: Path, names: Sequence[str], header: Mapping[str, str], wanted: Sequence[str]
) -> list[int]:
    """Returns the position of each wanted column in a CSV header.

    Args:
      path: The file, for messages.
      names: The names in its header.
      header: Our column names to the names in the header.
      wanted: Our names of the columns.

    Raises:
      UserError: A column is missing.
    """
    found = [name.strip() for name in names]
    for ours in wanted:
        if header[ours] not in found:
            raise UserError(
                f"{path} line 1: no column {header[ours]!r} in the header {found}",
                f"Set data.columns.{ours} to the column's name, or add a header.",
            )
    return [found.index(header[ours]) for ours in wanted]
