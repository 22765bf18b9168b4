"""One prediction, whichever way it was asked for."""

from __future__ import annotations

import datetime
import itertools
import logging
import secrets
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from components.serving_directory.labels import CANARY
from pipeline.serving.server.batching import Batcher, Outputs
from pipeline.serving.server.errors import RequestError, not_found
from pipeline.serving.server.impressions import (
    Answer,
    ImpressionLog,
    is_recommendation,
    needed_inputs,
    needed_outputs,
)
from pipeline.serving.server.loaded import Array, LoadedVersion
from pipeline.serving.server.metrics import Metrics
from pipeline.serving.server.models import ModelVersions
from trainer import features as f

_WORKERS: Final = 2
_MAX_WAITING: Final = 512
_PROCESS: Final = secrets.token_hex(12)
_NUMBERS: Final = itertools.count(1)
_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """Which model a request names.

    Attributes:
      name: Name of the model.
      version: Number, label, or None.
    """

    name: str
    version: int | str | None = None


class Predictor:
    """Chooses the version, runs the signature, and keeps what was recommended.

    Args:
      versions: The versions.
      canary_percent: Share of the users whose requests, if they name no version, go to
        the version labelled `canary`.
      log_impressions: Folder for what was recommended; None to keep nothing.
      max_waiting: Most requests that wait for TensorFlow; more are refused.

    Attributes:
      versions: The versions.
      batcher: Runs TensorFlow.
      metrics: Counts requests.
    """

    def __init__(
        self,
        versions: ModelVersions,
        *,
        canary_percent: float = 0,
        log_impressions: Path | None = None,
        max_waiting: int = _MAX_WAITING,
    ) -> None:
        self.versions = versions
        self.batcher = Batcher(_WORKERS, max_waiting)
        self._impressions = ImpressionLog(log_impressions) if log_impressions else None
        self.metrics = Metrics(versions, self.batcher, self._impressions)
        self._canary_percent = canary_percent

    def find(self, target: Target) -> LoadedVersion:
        """Returns the version that a request names.

        Raises:
          RequestError: It is not loaded.
        """
        if target.name != self.versions.name:
            raise not_found(f"Servable not found for request: Latest({target.name})")
        return self.versions.get(target.version)

    async def predict(
        self,
        target: Target,
        signature: str,
        inputs: Mapping[str, Array],
        request_id: str,
    ) -> tuple[LoadedVersion, Outputs]:
        """Runs a signature; all rows of a request go to one version.

        Returns:
          The version that answered, and its answer.

        Raises:
          RequestError: The version is not loaded, has no such signature, refuses the
            inputs or fails.
        """
        version = self._choose(target, inputs, request_id)
        label = target.version if isinstance(target.version, str) else ""
        label = label or next(iter(version.labels), "")  # it may move meanwhile
        outputs = await self.batcher.call(version, signature, inputs)
        if self._impressions and is_recommendation(inputs, outputs):
            now = datetime.datetime.now(datetime.timezone.utc)
            self._impressions.add(
                Answer(
                    *(now, request_id, version.version, label, signature),
                    needed_inputs(inputs),
                    needed_outputs(outputs),
                )
            )
        return version, outputs

    def close(self) -> None:
        """Waits for running calls, and writes the impressions that are left."""
        self.batcher.close()
        if self._impressions:
            self._impressions.close()

    def _choose(
        self, target: Target, inputs: Mapping[str, Array], request_id: str
    ) -> LoadedVersion:
        users = inputs.get(f.USER_ID)
        if target.version is None and self._canary_percent and users is not None:
            # Nobody known has no id: their requests are divided one by one.
            who = users[0] if len(users) and users[0] else request_id.encode()
            if is_of_canary(who, self._canary_percent):
                try:
                    return self.versions.get(CANARY)
                except RequestError:
                    pass  # there is none now
        return self.find(target)


def is_of_canary(who: bytes, percent: float) -> bool:
    """Whether a user is one of those who get the canary: always the same users."""
    return zlib.crc32(who) % 10_000 < percent * 100


def new_request_id() -> str:
    """Returns an id for a request that came without one."""
    # Asking the system for random bytes each time would let other threads go first.
    return f"{_PROCESS}-{next(_NUMBERS):x}"
