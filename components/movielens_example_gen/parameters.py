"""The component's parameters on their way to the driver and the executor."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter

from pipeline.config import DataConfig

KEY: Final = "parameters"
_DATA_CONFIG: Final = TypeAdapter(DataConfig)


@dataclass(frozen=True)
class Parameters:
    """What `MovieLensExampleGen` was made with.

    Attributes:
      data: What is read, how it is split and how rows are cut.
      content_fingerprint: Digest of the input, or empty.
      code_hash: Digest of the code; nobody reads it, it only makes the cache miss.
    """

    data: DataConfig
    content_fingerprint: str
    code_hash: str


def to_json(parameters: Parameters) -> str:
    """The parameters as one string, the same for the same values."""
    data = _DATA_CONFIG.dump_python(parameters.data, mode="json")
    # DataGate's: another bound needs no new rows.
    del data["min_rows"]
    values = {
        "data": data,
        "content_fingerprint": parameters.content_fingerprint,
        "code_hash": parameters.code_hash,
    }
    return json.dumps(values, sort_keys=True)


def from_exec_properties(exec_properties: Mapping[str, Any]) -> Parameters:
    """Reads the parameters back from the execution properties of the component."""
    from google.protobuf import struct_pb2
    from tfx.proto import example_gen_pb2
    from tfx.types import standard_component_specs
    from tfx.utils import proto_utils

    custom_config = example_gen_pb2.CustomConfig()
    proto_utils.json_to_proto(
        exec_properties[standard_component_specs.CUSTOM_CONFIG_KEY], custom_config
    )
    struct = struct_pb2.Struct()
    custom_config.custom_config.Unpack(struct)
    values = json.loads(struct[KEY])
    return Parameters(
        _DATA_CONFIG.validate_python(values["data"]),
        values["content_fingerprint"],
        values["code_hash"],
    )
