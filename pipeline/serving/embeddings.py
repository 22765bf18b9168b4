"""Exports ids and embeddings of a pushed model to Parquet, for other indexes.

The dot product of a user's and a movie's embedding is the score of `serving_default`,
so that any index of maximum inner products gives its order.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.serving.client import ModelInfo
from pipeline.serving.tensorflow_alone import import_tensorflow
from trainer import features as f
from trainer.atomic_files import part_name, sync, sync_tree
from trainer.errors import UsageError, UserError
from trainer.serving_contract import (
    CANDIDATE_EMBEDDING,
    CATALOGUE,
    QUERY_EMBEDDING,
    STORED_USERS,
    Signature,
)

MOVIES_FILE: Final = "movies.parquet"
USERS_FILE: Final = "users.parquet"
# Key of the JSON in the files' metadata: `dataset` and `version`.
METADATA: Final = b"two_tower"
_EMBEDDING: Final = "embedding"
_MOST_ROWS: Final = 8192  # of a row group

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
      folder: With `movies.parquet` and perhaps `users.parquet`.
      movies, users: Number of rows; `users` is None if they were not asked for.
      dim: Width of the embeddings.
    """

    folder: Path
    movies: int
    users: int | None
    dim: int


def export_embeddings(info: ModelInfo, out: Path, *, queries: bool) -> Exported:
    """Writes a folder, whole or not at all; twice the same bytes for one model.

    Args:
      info: The model.
      out: The folder, which must not be there yet, or be empty.
      queries: Whether to write the stored users too.

    Raises:
      UsageError: `out` is there.
      UserError: The model cannot be loaded, has no catalogue or has embeddings that are
        not finite; or the folder cannot be written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(
            f"{out} is there already",
            "Name a new folder: what readers have open is not replaced under them.",
        )
    model = _load(info)
    part = part_name(out.absolute().parent)
    try:
        part.mkdir(parents=True)
        movies, dim = _write_movies(model, info, part / MOVIES_FILE)
        users = None
        if queries:
            users = _write_users(model, info, dim, part / USERS_FILE)
        sync_tree(part)
        part.rename(out)
        sync(out.absolute().parent)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror or error}",
            "Free space, or name another folder.",
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(out, movies, users, dim)


def _load(info: ModelInfo) -> Any:
    tf = import_tensorflow()
    try:
        model = tf.saved_model.load(info.path)
    except Exception as error:
        cause = (str(error).strip().splitlines() or ["no error message"])[0]
        raise UserError(
            f"TensorFlow cannot load the model {info.path}: {cause}",
            "Push a new model with `two-tower run --no-cache`.",
        ) from error
    if not hasattr(model, CATALOGUE.name) or not hasattr(model, STORED_USERS.name):
        raise UserError(
            f"The model {info.path} was exported by an earlier release, without its "
            "catalogue",
            "Push a new model with `two-tower run`.",
        )
    return model


def _write_movies(model: Any, info: ModelInfo, path: Path) -> tuple[int, int]:
    """Writes all movies in the order of the corpus; returns their number and width."""
    catalogue = CATALOGUE.call(model)
    ids = catalogue[f.MOVIE_ID]
    years = [int(year) or None for year in catalogue[f.YEAR]]
    columns = {
        f.MOVIE_ID: pa.array(_texts(ids), pa.string()),
        f.TITLE: pa.array(_texts(catalogue[f.TITLE]), pa.string()),
        f.GENRES: pa.array(
            [text.split("|") if text else [] for text in _texts(catalogue[f.GENRES])],
            pa.list_(pa.string()),
        ),
        f.YEAR: pa.array(years, pa.int32()),
    }
    embed = _embedder(model, info, CANDIDATE_EMBEDDING, ids)
    dim = embed(0, 1).shape[1]
    _write(path, columns, dim, embed, info)
    return len(ids), dim


def _write_users(model: Any, info: ModelInfo, dim: int, path: Path) -> int:
    """Writes all users with a stored timeline; returns their number."""
    ids = STORED_USERS.call(model)[f.USER_ID]
    columns = {f.USER_ID: pa.array(_texts(ids), pa.string())}
    _write(path, columns, dim, _embedder(model, info, QUERY_EMBEDDING, ids), info)
    return len(ids)


def _embedder(
    model: Any, info: ModelInfo, signature: Signature, ids: npt.NDArray[Any]
) -> Callable[[int, int], Floats]:
    """Returns a function of the embeddings of some rows, `[end - start, dim]`."""
    (name,) = signature.inputs

    def embed(start: int, end: int) -> Floats:
        embedded = signature.call(model, **{name: ids[start:end].tolist()})[_EMBEDDING]
        if not np.isfinite(embedded).all():
            raise UserError(
                f"The model {info.path} has embeddings that are not finite",
                "Go back with `two-tower rollback`, and push a new model.",
            )
        return np.ascontiguousarray(embedded, np.float32)

    return embed


def _write(
    path: Path,
    columns: dict[str, pa.Array],
    dim: int,
    embed: Callable[[int, int], Floats],
    info: ModelInfo,
) -> None:
    """Writes columns with their embeddings, a row group at a time."""
    about = {"dataset": info.dataset, "version": os.path.basename(info.path)}
    table = pa.table(columns)
    embedding = pa.field(_EMBEDDING, pa.list_(pa.float32(), dim))
    schema = table.schema.append(embedding).with_metadata(
        {METADATA: json.dumps(about).encode()}
    )
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for start, end in _blocks(len(table), _MOST_ROWS):
            parts = [
                embed(start + first, start + last).reshape(-1)
                for first, last in _blocks(end - start, info.max_batch)
            ]
            values = pa.array(np.concatenate(parts), pa.float32())
            arrays = [c.combine_chunks() for c in table.slice(start, end - start)]
            arrays.append(pa.FixedSizeListArray.from_arrays(values, dim))
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))


def _blocks(count: int, size: int) -> Iterator[tuple[int, int]]:
    """Yields start and end of blocks of at most a size."""
    for start in range(0, count, size):
        yield start, min(start + size, count)


def _texts(values: npt.NDArray[Any]) -> list[str]:
    return [value.decode(errors="replace") for value in values.tolist()]
