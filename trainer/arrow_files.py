"""Reading Parquet and Arrow IPC without running what a file holds.

pyarrow before 14.0.1 unpickles extension types of a file that it opens, and with them
any code (CVE-2023-47248). TFX 1.16 needs pyarrow 10.
"""

from __future__ import annotations

from typing import Final

# The first version that does not load pickled extension types.
_FIXED: Final = (14, 0, 1)


def refuse_code() -> None:
    """Makes pyarrow raise where a file holds code; before a file is opened.

    Raises:
      ImportError: pyarrow needs `pyarrow_hotfix`, which is not installed.
    """
    import pyarrow as pa

    version = tuple(
        int(part) for part in pa.__version__.split(".")[:3] if part.isdigit()
    )
    if version < _FIXED:
        import pyarrow_hotfix  # noqa: F401
