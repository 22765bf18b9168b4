"""Brings the ratings to the step where they lie in a bucket."""

from __future__ import annotations

import os

from trainer.errors import UserError


def bring(input_base: str, folder: str) -> str:
    """Copies a remote folder, since its files are read as local ones.

    Args:
      input_base: A path, or a URI that TensorFlow opens, such as gs://.
      folder: Where the copy goes.

    Returns:
      A local folder: `input_base` itself where it is one.

    Raises:
      UserError: TensorFlow does not open such URIs, or the folder is not there.
    """
    if "://" not in input_base:
        return input_base
    import tensorflow as tf

    source = input_base.rstrip("/")
    try:
        files = [
            os.path.join(place, name)
            for place, _, names in tf.io.gfile.walk(source)
            for name in names
            if name  # an empty object that stands for the folder
        ]
    except tf.errors.OpError as error:
        raise UserError(
            f"{input_base} cannot be read: {error.message}",
            "Give a folder of a mounted volume or at gs://; for s3:// and minio:// "
            "set kubeflow.input_base to it and compile again.",
        ) from error
    if not files:
        raise _no_files(input_base)
    for path in files:
        target = os.path.join(folder, os.path.relpath(path, source))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        tf.io.gfile.copy(path, target)
    return folder


def check_brought(folder: str, input_base: str) -> None:
    """Refuses a folder of which the launcher found nothing in its store.

    Args:
      folder: The launcher's mirror.
      input_base: The URI.

    Raises:
      UserError: There is no file.
    """
    if not os.path.isdir(folder) or not os.listdir(folder):
        raise _no_files(input_base)


def _no_files(input_base: str) -> UserError:
    return UserError(
        f"{input_base} holds no files", "Give the folder with the ratings."
    )
