"""Keeps what TensorFlow and TFX print out of a command's own output."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Sends standard output and error to nowhere, C++ code's too.

    Where something fails, what was printed is shown after all.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile() as sink:
        for number in (1, 2):
            os.dup2(sink.fileno(), number)
        try:
            yield
        except BaseException as error:
            sink.seek(0)
            # Our own errors tell all that there is to tell.
            if not hasattr(error, "remedy"):
                os.write(kept[1], sink.read())
            raise
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, descriptor in zip((1, 2), kept, strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
