"""`MonitoringConfig`: where the metrics of a retraining are written."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator
from pydantic.dataclasses import dataclass

from pipeline.secret_variables import Variable
from trainer.config import FROZEN

_LABEL: Final = re.compile(r"(?!__)[a-zA-Z_][a-zA-Z0-9_]*")
_TAKEN: Final = frozenset({"job", "pipeline"})


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class PushGatewayConfig:
    """A Prometheus push gateway.

    Attributes:
      url: Its address, such as http://127.0.0.1:9091; null for none.
      job: The label `job` of what is pushed.
      labels: Further grouping labels; `pipeline` is always one.
      user_env: Environment variable with the user's name; null for none.
      password_env: Environment variable with the password of that user.
      token_env: Environment variable with a token, sent as `Authorization: Bearer`.
      timeout_seconds: Longest time that a push may take.
    """

    url: str | None = None
    job: Annotated[str, Field(min_length=1)] = "two_tower"
    labels: Mapping[str, str] = Field(default_factory=dict)
    user_env: Variable | None = None
    password_env: Variable | None = None
    token_env: Variable | None = None
    timeout_seconds: Annotated[float, Field(gt=0, le=300)] = 10.0

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str | None) -> str | None:
        parts = urllib.parse.urlsplit(url or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(
                f"monitoring.push_gateway.url is {url!r}: it must begin with http:// "
                "or https:// and a host"
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError(
                "monitoring.push_gateway.url must be an address alone; user_env, "
                "password_env and token_env name variables with the credentials"
            )
        return url

    @model_validator(mode="after")
    def _check_login(self) -> PushGatewayConfig:
        if (self.user_env is None) != (self.password_env is None):
            raise ValueError(
                "monitoring.push_gateway: a log-in needs both user_env and password_env"
            )
        if self.user_env is not None and self.token_env is not None:
            raise ValueError(
                "monitoring.push_gateway: give either user_env and password_env or "
                "token_env"
            )
        return self

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: Mapping[str, str]) -> Mapping[str, str]:
        for name in labels:
            if not _LABEL.fullmatch(name) or name in _TAKEN:
                raise ValueError(
                    f"monitoring.push_gateway.labels has {name!r}: a label has "
                    "letters, digits and _ alone, does not begin with a digit or __, "
                    f"and is not {' or '.join(sorted(_TAKEN))}"
                )
        return labels


@dataclass(frozen=True, kw_only=True, config=FROZEN)
class MonitoringConfig:
    """Where the metrics of a retraining are written for Prometheus.

    Attributes:
      textfile_dir: Folder of node exporter's textfile collector, in which
        `two_tower_<name>.prom` is written; null for none.
      push_gateway: A push gateway, for machines that Prometheus cannot reach.
      max_success_age_days: Alert if no retraining succeeded for so long.
      max_live_model_age_days: Alert if no model was pushed for so long.
      max_quality_loss: Alert if a metric of a candidate is less than that of the live
        model by more than this share.
      max_drift: Alert if the drift of a feature is larger.
    """

    textfile_dir: str | None = None
    push_gateway: PushGatewayConfig = Field(default_factory=PushGatewayConfig)
    max_success_age_days: Annotated[float, Field(gt=0)] = 8.0
    max_live_model_age_days: Annotated[float, Field(gt=0)] = 36.0
    max_quality_loss: Annotated[float, Field(gt=0, lt=1)] = 0.1
    max_drift: Annotated[float, Field(gt=0, le=1)] = 0.1
