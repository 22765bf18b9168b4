"""Text files in the encoding that their family has."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from components.movielens_example_gen.editions import Family
from trainer.errors import UserError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"


def check_is_text(path: Path, block: bytes) -> None:
    """Refuses a file in UTF-16 or with binary content.

    Raises:
      UserError: The file is no text in an encoding that MovieLens uses.
    """
    if block[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in block[:4096]:
        raise UserError(
            f"{path} is not UTF-8 text: it begins with {block[:4]!r}",
            "Save it as UTF-8 (for instance with `iconv -f UTF-16 -t UTF-8`).",
        )


def decode(path: Path, family: Family) -> str:
    """The file's text, without a byte-order mark.

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
