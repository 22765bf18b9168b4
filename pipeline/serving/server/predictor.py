"""One prediction, whichever way it was asked for."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.serving.server.batching import Batcher
from pipeline.serving.server.errors import RequestError, not_found
from pipeline.serving.server.loaded import Array, LoadedVersion
from pipeline.serving.server.models import ModelVersions
from trainer import features as f

CANARY = "canary"


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
      batcher: Runs TensorFlow.
      canary_percent: Share of the users whose requests, if they name no version, go to
        the version labelled `canary`.
    """

    def __init__(
        self, versions: ModelVersions, batcher: Batcher, canary_percent: float = 0
    ) -> None:
        self.versions = versions
        self.batcher = batcher
        self._canary_percent = canary_percent

    def find(self, target: Target) -> LoadedVersion:
        """Returns the version that a request names.

        Raises:
          RequestError: It is not loaded.
        """
        if target.name != self.versions.name:
            raise not_found(f"Servable not found for request: Latest({target.name})")
        return self.versions.get(target.version)

    def choose(self, target: Target, inputs: Mapping[str, Array]) -> LoadedVersion:
        """Returns the version that answers a request; all rows go to one version.

        Raises:
          RequestError: It is not loaded.
        """
        found = self.find(target)
        if target.version is None and self._canary_percent and f.USER_ID in inputs:
            users = inputs[f.USER_ID].ravel()
            if len(users) and is_of_canary(users[0], self._canary_percent):
                try:
                    return self.versions.get(CANARY)
                except RequestError:
                    pass  # there is none now
        return found

    async def predict(
        self, version: LoadedVersion, signature: str, inputs: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Runs a signature.

        Raises:
          RequestError: The version has no such signature, refuses the inputs or fails.
        """
        return await self.batcher.call(version, signature, inputs)


def is_of_canary(user_id: bytes, percent: float) -> bool:
    """Whether a user is one of those who get the canary: always the same users."""
    return zlib.crc32(user_id) % 10_000 < percent * 100
