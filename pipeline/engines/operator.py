"""Runs Beam executors on an engine. Importing it imports TFX."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from tfx.orchestration.portable.beam_executor_operator import BeamExecutorOperator
from tfx.proto.orchestration import executable_spec_pb2, placeholder_pb2

from pipeline.engines.beam_options import beam_args
from pipeline.engines.config import EngineConfig
from pipeline.engines.guard import Guard
from pipeline.engines.method_signatures import (
    look_for_notebook_lazily,
    remember_signatures,
)


class EngineOperator(BeamExecutorOperator):
    """Gives executors the arguments of an engine, in place of those in their spec.

    TFX hashes the spec, arguments of Beam included, into the cache key: on another
    engine every step would run again. The graph is therefore always compiled with the
    same arguments, and these replace them.
    """

    def __init__(
        self,
        engine: EngineConfig,
        guard: Guard,
        further_args: Sequence[str],
        executor_spec: Any,
        platform_config: Any = None,
    ) -> None:
        """Makes the operator of one node; see `operators`."""
        super().__init__(executor_spec, platform_config)
        self._guard = guard
        arguments = [*beam_args(engine), *further_args]
        self.beam_pipeline_args = [_placeholder(text) for text in arguments]

    def run_executor(self, *args: Any, **kwargs: Any) -> Any:
        """Runs the executor; see `pipeline.engines.guard` for what is raised."""
        with self._guard.step():
            return super().run_executor(*args, **kwargs)


def operators(
    engine: EngineConfig, root: str, further_args: Sequence[str] = ()
) -> dict[Any, Callable[..., EngineOperator]]:
    """Returns `custom_executor_operators` of a TFX launcher.

    Args:
      engine: The engine.
      root: Folder of the artifacts, which workers must share.
      further_args: Arguments of Beam that our executors read.
    """
    remember_signatures()
    look_for_notebook_lazily()
    guard = Guard(engine, [root])
    spec = executable_spec_pb2.BeamExecutableSpec
    return {spec: functools.partial(EngineOperator, engine, guard, further_args)}


def _placeholder(argument: str) -> placeholder_pb2.PlaceholderExpression:
    expression = placeholder_pb2.PlaceholderExpression()
    expression.value.string_value = argument
    return expression
