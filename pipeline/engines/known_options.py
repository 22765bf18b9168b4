"""The options and clusters that the installed Beam knows. Importing it imports Beam."""

from __future__ import annotations

import contextlib
import functools
import io
from argparse import ArgumentParser
from collections.abc import Sequence

import apache_beam
from apache_beam.options import pipeline_options as options

from pipeline.engines.config import EngineConfig
from trainer.errors import UserError


def beam_version() -> str:
    """Version of the installed Beam."""
    return str(apache_beam.__version__)


def versions(runner: str) -> tuple[str, ...]:
    """Versions of an engine's cluster that Beam supports, oldest first."""
    if runner == "flink":
        return tuple(options.FlinkRunnerOptions.PUBLISHED_FLINK_VERSIONS)
    name = f"--{runner}_version"
    actions = vars(_parser())["_option_string_actions"]
    return tuple(actions[name].choices) if name in actions else ()


def version_fault(engine: EngineConfig, running: str) -> UserError | None:
    """Says that Beam's job server is made for another version than a cluster runs."""
    supported = versions(engine.runner)
    wanted = engine.version or supported[-1]
    release = ".".join(running.split(".")[: len(wanted.split("."))])
    if release == wanted:
        return None
    remedy = (
        f"Set engine.version to {release}, and its job server."
        if release in supported
        else f"Beam {beam_version()} supports {', '.join(supported)}: run one of these."
    )
    return UserError(
        f"{engine.runner} has version {running}, and the job server is for {wanted}",
        remedy,
    )


def known() -> frozenset[str]:
    """Names of all options, without the dashes."""
    names = vars(_parser())["_option_string_actions"]
    return frozenset(name[2:] for name in names if name.startswith("--"))


def refused_value(arguments: Sequence[str]) -> str:
    """Why Beam refuses arguments; empty if it takes them."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors):
        try:
            _parser().parse_known_args(list(arguments))
        except (SystemExit, ValueError) as error:
            text = errors.getvalue().strip() or str(error)
            return text.rpartition("error: ")[2]
    return ""


@functools.cache
def _parser() -> ArgumentParser:
    """A parser of what all classes of options declare, as Beam makes it for a job."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    classes = {str(cls): cls for cls in options.PipelineOptions.__subclasses__()}
    for cls in classes.values():
        if cls.__module__ == options.__name__:  # others are of the running program
            cls._add_argparse_args(parser)
    return parser
