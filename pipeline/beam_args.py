"""Arguments of Apache Beam on this machine, importable without TFX."""

from __future__ import annotations

from typing import Final

BEAM_ARGS: Final = [
    # The short name fails on Beam 2.59 and makes newer ones download a runner.
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    # Without a container image TFX packs itself into an sdist for every Beam step, 2
    # seconds each, for workers on other machines. This runner has none and ignores it.
    "--sdk_container_image=none",
    # The default of newer versions. That of Beam 2.59, dill, is written in Python and
    # takes a tenth of the CPU time from the imports to the end of Transform.
    "--pickle_library=cloudpickle",
]
