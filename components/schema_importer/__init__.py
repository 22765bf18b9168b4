"""SchemaImporter: brings the schema of `Examples` into a run.

The schema is `schema.pbtxt`, which is read here without TFX. Where it has a placeholder
such as `$ratings`, the list or scale is filled in that readers and model use as well. A
file of the user's own needs no placeholder.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Final

from components.movielens_example_gen.rows import slicing
from trainer.errors import UserError
from trainer.movielens import GENDERS, RatingScale

SCHEMA_FILE: Final = "schema.pbtxt"


def curated_schema_text(rating_scale: Sequence[float] | None = None) -> str:
    """Returns the schema as a text-format `tensorflow.metadata.v0.Schema`.

    Args:
      rating_scale: `data.rating_scale`.

    Raises:
      UserError: The file has an unknown placeholder.
    """
    text = resources.files(__package__).joinpath(SCHEMA_FILE).read_text("utf-8")
    scale = RatingScale.of(rating_scale)
    try:
        return string.Template(text).substitute(
            ratings=f"min: {float(scale.lowest)} max: {float(scale.highest)}",
            genders=_values(GENDERS),
            user_kinds=_values(k.decode() for k in (slicing.WARM, slicing.COLD)),
            opinions=_values(o.decode() for o in (slicing.LIKED, slicing.NOT_LIKED)),
            popularity=_values(name.decode() for name in slicing.POPULARITY),
        )
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{SCHEMA_FILE} has a $ that begins no known placeholder: {error}",
            "Write $$ for a dollar sign.",
        ) from error


def curated_schema_digest(rating_scale: Sequence[float] | None = None) -> str:
    """Returns the SHA-256 of the schema's text, in hexadecimal digits."""
    text = curated_schema_text(rating_scale)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _values(names: Iterable[str]) -> str:
    return " ".join(f'value: "{name}"' for name in names)
