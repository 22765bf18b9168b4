"""`ServingConfig`: the requirements on a model that is to be pushed."""

from __future__ import annotations

import dataclasses
from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from trainer.config import FROZEN, IndexConfig, RequestLimits


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class ServingConfig(RequestLimits, IndexConfig):
    """Requirements on a model that is to be pushed.

    It includes the largest request that the model answers, `RequestLimits`, and how the
    model searches, `IndexConfig`.

    Attributes:
      warmup_requests: Real requests stored with the model for TF Serving's warm-up, of
        each signature in turn.
      max_latency_ms: Median time of a request for one user above which the model is not
        servable, of each signature that recommends; None for no limit.
      max_size_mb: Size of the model's files in MiB above which it is not servable; None
        for no limit.
    """

    warmup_requests: Annotated[int, Field(ge=1, le=1000)] = 10
    max_latency_ms: Annotated[float, Field(gt=0)] | None = 100.0
    max_size_mb: Annotated[float, Field(gt=0)] | None = None

    def limits(self) -> RequestLimits:
        """Returns the part that the Trainer reads."""
        return RequestLimits(
            **{
                field.name: getattr(self, field.name)
                for field in dataclasses.fields(RequestLimits)
            }
        )

    def search(self) -> IndexConfig:
        """Returns the other part that the Trainer reads."""
        return IndexConfig(
            index=self.index,
            index_leaves=self.index_leaves,
            index_probes=self.index_probes,
            index_int8=self.index_int8,
        )
