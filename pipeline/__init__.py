"""The pipeline's graph, its configuration, the runners and the command line."""

from importlib import metadata


def __getattr__(name: str) -> str:
    """Looks `__version__` up when it is asked for; its source is `pyproject.toml`."""
    if name == "__version__":
        return metadata.version("two-tower")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
