r"""Text files, plain or compressed with gzip, and the columns of a CSV header.

The rules for every file that is read:

- A file whose first bytes are gzip's is decompressed as it is read, whatever its name.
- A line ends in `\n`, `\r\n` or `\r`. The last one need not end at all.
- A byte-order mark of UTF-8 is skipped. UTF-16 and binary files are refused.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

import numpy as np

from components.movielens_example_gen.inputs.editions import ML_10M, Family
from trainer.errors import UserError

BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_GZIP: Final = b"\x1f\x8b"
# What a file may be instead of text, by its first bytes.
_OTHER_FORMATS: Final = {
    b"PK\x03\x04": "a ZIP archive or a spreadsheet",
    b"BZh": "a bzip2 file",
    b"\xfd7zXZ": "an xz file",
    b"\x28\xb5\x2f\xfd": "a Zstandard file",
    b"PAR1": "a Parquet file",
    _GZIP: "a gzip file within a gzip file",
}
# By which a file is recognised: in UTF-16 and UTF-32 one of them is NUL.
_CHECKED_BYTES: Final = 8
# Without a line break in so many bytes it is no file of rows.
MAX_LINE_BYTES: Final = 8 << 20
# Movies and users are read as a whole: the largest edition has 4 MB of them.
_MAX_WHOLE_BYTES: Final = 1 << 30
_USUAL_EXPANSION: Final = 5
# Ratings compress to a fifth. What expands much more was made to fill the memory.
_MAX_EXPANSION: Final = 200
_ALWAYS_EXPANDED_BYTES: Final = 256 << 20
_LINE_BREAK: Final = re.compile(rb"\r\n|\r|\n")
_SEARCHED_BYTES: Final = 1 << 16


@dataclass(frozen=True)
class Part:
    """Whole lines of a file: see `cut`.

    Attributes:
      start: Position of the first.
      end: Position after the last; None for the end of the file.
    """

    start: int = 0
    end: int | None = None

    def left(self, done: int, size: int) -> int:
        """Returns how many bytes to read next.

        Args:
          done: Bytes that were read.
          size: At most so many.
        """
        if self.end is None:
            return size
        return min(size, self.end - self.start - done)


WHOLE: Final = Part()


def read_chunks(
    path: Path,
    size: int,
    report: Callable[[int], None] = lambda position: None,
    part: Part = WHOLE,
) -> Iterator[bytes]:
    """Yields the contents of a file, decompressed, in chunks of `size` bytes.

    Args:
      path: The file.
      size: Bytes of a chunk.
      report: Called with the position in the file, compressed or not, for each chunk.
      part: What is read of a file that is not compressed.

    Raises:
      UserError: The file is a damaged gzip file or one that expands beyond measure, or
        it is no text.
    """
    if part.start:
        yield from _read_part(path, size, report, part)
        return
    with _open(path) as raw:
        is_gzip = raw.read(len(_GZIP)) == _GZIP
        raw.seek(0)
        limit = max(path.stat().st_size * _MAX_EXPANSION, _ALWAYS_EXPANDED_BYTES)
        stream = gzip.GzipFile(fileobj=raw) if is_gzip else raw
        total, least = 0, _CHECKED_BYTES
        while chunk := _read(
            path,
            cast(gzip.GzipFile, stream),
            part.left(total, max(size, least)),
        ):
            if not total:
                check_is_text(path, chunk)
            least = 0
            total += len(chunk)
            if is_gzip and total > limit:
                raise UserError(
                    f"{path} expands to more than {limit >> 20:,} MiB, over "
                    f"{_MAX_EXPANSION} times its size",
                    "No ratings compress so well: check where the file is from.",
                )
            report(raw.tell())
            yield chunk


def _read_part(
    path: Path, size: int, report: Callable[[int], None], part: Part
) -> Iterator[bytes]:
    """Yields what does not begin at the start of a file, which has been checked."""
    with _open(path) as raw:
        raw.seek(part.start)
        total = 0
        while chunk := _read(path, cast(gzip.GzipFile, raw), part.left(total, size)):
            total += len(chunk)
            report(raw.tell())
            yield chunk


def expanded_bytes(path: Path) -> int:
    """Returns about how many bytes of text a file has."""
    with _open(path) as raw:
        is_gzip = raw.read(len(_GZIP)) == _GZIP
    return path.stat().st_size * (_USUAL_EXPANSION if is_gzip else 1)


def cut(path: Path, size: int) -> list[Part]:
    """Cuts a file into parts of whole lines and about `size` bytes.

    A compressed file is one part, and so is one without line breaks.

    Raises:
      UserError: The file cannot be read.
    """
    with _open(path) as raw:
        if raw.read(len(_GZIP)) == _GZIP:
            return [WHOLE]
        length = raw.seek(0, io.SEEK_END)
        starts = [0]
        for position in range(size, length, size):
            if position > starts[-1]:
                start = _line_start(raw, position)
                if start is not None and start < length:
                    starts.append(start)
    return [Part(*bounds) for bounds in zip(starts, [*starts[1:], None], strict=True)]


def _line_start(raw: BinaryIO, position: int) -> int | None:
    """Returns where the first line begins at or after a position.

    None if no line begins there within as many bytes as a line may have.
    """
    # A line may begin at the position itself: what ends before it counts.
    raw.seek(position - 1)
    searched = 0
    while searched <= MAX_LINE_BYTES and (text := raw.read(_SEARCHED_BYTES)):
        match = _LINE_BREAK.search(text)
        if match is not None:
            end = position - 1 + searched + match.end()
            if match[0] == b"\r" and match.end() == len(text):
                return end + (raw.read(1) == b"\n")
            return end
        searched += len(text)
    return None


def _open(path: Path) -> BinaryIO:
    try:
        return open(path, "rb")
    except OSError as e:
        raise _unreadable(path, e) from e


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(
        f"{path} cannot be read: {error.strerror or error}",
        "Check the file and who may read it.",
    )


def _read(path: Path, stream: gzip.GzipFile, size: int) -> bytes:
    try:
        return stream.read(size)
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise UserError(
            f"{path} is cut off or damaged: {e}",
            "Copy or download it again (`gzip -t` checks it).",
        ) from e
    except OSError as e:
        raise _unreadable(path, e) from e


def check_is_text(path: Path, start: bytes) -> None:
    """Refuses a file in UTF-16 or with binary content.

    Args:
      path: The file, for messages.
      start: The beginning of its contents.

    Raises:
      UserError: The file is not text in an encoding that MovieLens uses.
    """
    for magic, name in _OTHER_FORMATS.items():
        if start.startswith(magic):
            raise UserError(
                f"{path} is {name}, not text",
                "Unpack or export it as text: only gzip is read as it is, once.",
            )
    if start[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\x00" in start[:_CHECKED_BYTES]:
        raise UserError(
            f"{path} is not UTF-8 text: it begins with {start[:4]!r}",
            "Save it as UTF-8 (for instance with `iconv -f UTF-16 -t UTF-8`).",
        )


def iter_blocks(
    path: Path, chunks: Iterable[bytes], *, is_start: bool = True
) -> Iterator[tuple[int, bytes]]:
    r"""Yields (number of the first line, whole lines) of a file, or of a part of it.

    Every line ends in `\n` or `\r\n`: a `\r` alone is replaced. Only the last line may
    have no end.

    Raises:
      UserError: There is no line break in eight megabytes.
    """
    line, rest = 1, b""
    for number, chunk in enumerate(chunks):
        text = rest + chunk
        if is_start and not number:
            text = text.removeprefix(BYTE_ORDER_MARK)
        # "\r\n" may be cut between two chunks.
        whole = text[:-1] if text.endswith(b"\r") else text
        block = _with_line_feeds(whole)
        end = block.rfind(b"\n") + 1
        rest = block[end:] + text[len(whole) :]
        # The first line may be the end of what was read before.
        if block.find(b"\n", 0, end) > MAX_LINE_BYTES or len(rest) > MAX_LINE_BYTES:
            line += count_lines(block[:end]) if len(rest) > MAX_LINE_BYTES else 0
            raise UserError(
                f"{path} line {line}: no line break in {MAX_LINE_BYTES >> 20} MiB",
                "Each row must be a line of its own.",
            )
        if end:
            whole_lines = block[:end]
            yield line, whole_lines
            line += count_lines(whole_lines)
    if rest:
        yield line, _with_line_feeds(rest)


def _with_line_feeds(text: bytes) -> bytes:
    if b"\r" not in text:
        return text
    data = np.frombuffer(text + b" ", np.uint8)
    if not ((data[:-1] == ord("\r")) & (data[1:] != ord("\n"))).any():
        return text
    return text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def count_lines(block: bytes) -> int:
    """Counts the line breaks, ten times as fast as `bytes.count`."""
    return int(np.count_nonzero(np.frombuffer(block, np.uint8) == ord("\n")))


def first_line(path: Path) -> bytes:
    """Returns the first line of a file, which has been read, without its end."""
    chunks = read_chunks(path, MAX_LINE_BYTES)
    block = next((block for _, block in iter_blocks(path, chunks)), b"")
    return block.partition(b"\n")[0]


def is_blank(line: bytes, family: Family) -> bool:
    """Returns whether a line is empty or blank, so that it is no row."""
    blanks = b" \r\n" if family.delimiter == "\t" else b" \t\r\n"
    return not line.strip(blanks)


def iter_lines(path: Path, family: Family, size: int = 1 << 20) -> Iterator[bytes]:
    r"""Yields the lines that are not blank, each with its line break."""
    for _, block in iter_blocks(path, read_chunks(path, size)):
        for line in block.removesuffix(b"\n").split(b"\n"):
            if not is_blank(line, family):
                yield line + b"\n"


def decode(path: Path, family: Family) -> str:
    r"""Returns the file's text with `\n` as line break, without a byte-order mark.

    A file of a family in latin-1 may have been saved as UTF-8: text in latin-1 that is
    valid UTF-8 by accident, two odd characters in a row, does not occur.

    Raises:
      UserError: The file is not in the family's encoding, or too large.
    """
    data = b""
    for chunk in read_chunks(path, _MAX_WHOLE_BYTES + 1):
        data += chunk
        if len(data) > _MAX_WHOLE_BYTES:
            raise UserError(
                f"{path} has more than {_MAX_WHOLE_BYTES >> 20:,} MiB",
                "Divide it into parts, such as movies-1.csv and movies-2.csv.",
            )
    data = data.removeprefix(BYTE_ORDER_MARK)
    data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        if family.encoding != "utf-8":
            return data.decode(family.encoding)
        line = data.count(b"\n", 0, e.start) + 1
        content = data.split(b"\n")[line - 1]
        other = (
            ", or add the users.dat of ml-1m, whose files are latin-1"
            if family is ML_10M
            else ""
        )
        raise UserError(
            f"{path} line {line}: byte {data[e.start : e.end]!r} is not "
            f"{family.encoding} ({content[:120]!r})",
            "Save the file as UTF-8 (for instance with `iconv -f LATIN1 -t UTF-8`)"
            f"{other}.",
        ) from None


def find_columns(
    path: Path,
    names: Sequence[str],
    header: Mapping[str, str | None],
    wanted: Sequence[str],
) -> list[int]:
    """Returns the position of each wanted column in a CSV header.

    Args:
      path: The file, for messages.
      names: The names in its header.
      header: Our column names to the names in the header.
      wanted: Our names of the columns.

    Raises:
      UserError: A column is missing, or its name occurs twice.
    """
    found = [name.strip() for name in names]
    count = Counter(found)
    for ours in wanted:
        name = header[ours]
        if not count[str(name)]:
            raise UserError(
                f"{path} line 1: no column {name!r} in the header {found}",
                f"Set data.columns.{ours} to the column's name, or add a header."
                f"{_WITHOUT.get(ours, '')}",
            )
        if count[str(name)] > 1:
            places = [i + 1 for i, other in enumerate(found) if other == name]
            raise UserError(
                f"{path} line 1: columns {' and '.join(map(str, places))} are both "
                f"named {name!r}",
                "Rename or remove one of them.",
            )
    return [found.index(str(header[ours])) for ours in wanted]


# Columns that a file may lack, if the configuration says so.
_WITHOUT: Final = {
    "rating": " For implicit data, without ratings, set data.columns.rating=null.",
    "timestamp": " If there are no times, set data.columns.timestamp=null.",
    "genres": " If there are no genres, set data.columns.genres=null.",
}
