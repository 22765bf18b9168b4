"""What the input holds, as one digest: equal contents are a cache hit.

TFX's own fingerprint is made of sizes and modification times, and of one span only.
This one is made of what the files hold and of all spans of the window.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from components.movielens_example_gen import spans
from components.movielens_example_gen.config import ExampleGenConfig

_CHUNK_BYTES = 1 << 22
_DIGEST_BYTES = 16


def content_fingerprint(base: Path | str, config: ExampleGenConfig) -> str:
    """Digest of every file that the component would read.

    Args:
      base: The folder that `MovieLensExampleGen` gets as `input_base`.
      config: What it gets as `data_config`.

    Returns:
      32 hexadecimal digits.

    Raises:
      UserError: A folder, file or span is missing.
    """
    digest = hashlib.blake2b(digest_size=_DIGEST_BYTES)
    for span in spans.resolve(Path(base), config):
        files = span.files
        for path in (*files.ratings, *files.movies, *files.users):
            size = path.stat().st_size
            digest.update(f"{span.span}\n{path.name}\n{size}\n".encode())
            with open(path, "rb") as stream:
                while chunk := stream.read(_CHUNK_BYTES):
                    digest.update(chunk)
    return digest.hexdigest()
