"""The whole pipeline in containers, by Kubeflow's local runner: `make test-docker`.

It builds the image, compiles the pipeline and lets `kfp.local` run one container per
step, to a pushed model. It is a script and not a pytest test, since neither the image
nor the runner is part of the development environment. It needs a Docker daemon.

`BASE` names another base image, `DOCKER_BUILD_ARGS` more arguments of `docker build`.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

REPOSITORY: Final = Path(__file__).resolve().parents[2]
IMAGE: Final = "two-tower:test"
# The newest version tested with pipelines of TFX; neither lock file has it.
RUNNER: Final = ("kfp==2.16.1", "docker>=7")
RUN: Final = """
import os, sys
import docker.types
from kfp import components, local
file, root, volume = sys.argv[1:]
mount = docker.types.Mount("/mnt/two-tower", volume, type="bind")
user = f"{os.getuid() or 1000}:{os.getgid() or 1000}"
local.init(local.DockerRunner(mounts=[mount], user=user), pipeline_root=root)
components.load_component_from_file(file)(span="1")
"""


def main() -> int:
    """Runs it; returns the exit code."""
    if subprocess.run(["docker", "info"], capture_output=True, check=False).returncode:
        print("No Docker daemon answers: start one, or set DOCKER_HOST.")
        return 1
    started = time.monotonic()
    _build()
    print(f"image: {_image_gb():.2f} GB, built in {time.monotonic() - started:.0f} s")
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        _open_to_all(folder)
        python = _runner(folder / "kfp")
        file, volume = _prepare(folder)
        started = time.monotonic()
        root = folder / "root"
        root.mkdir()
        _open_to_all(root)
        # The runner ignores the second document, which is for Kubernetes.
        _run([python, "-c", RUN, file, root, volume])
        print(f"chain: {time.monotonic() - started:.0f} s in one container a step")
        return _check(volume, root)


def _build() -> None:
    base = os.environ.get("BASE")
    extra = shlex.split(os.environ.get("DOCKER_BUILD_ARGS", ""))
    base_args = ["--build-arg", f"BASE={base}"] if base else []
    _run(
        ["docker", "build", "-f", "kubeflow/Dockerfile", "-t", IMAGE]
        + [*base_args, *extra, "."]
    )


def _image_gb() -> float:
    command = ["docker", "image", "inspect", "--format", "{{.Size}}", IMAGE]
    return int(subprocess.check_output(command)) / 1e9


def _runner(folder: Path) -> Path:
    _run([sys.executable, "-m", "venv", folder])
    _run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *RUNNER])
    return folder / "bin" / "python"


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Writes ratings and the compiled file; returns file and volume."""
    two_tower = [sys.executable, "-m", "pipeline"]
    volume = folder / "volume"
    (volume / "serving").mkdir(parents=True)
    data = volume / "data" / "span-1"
    _run(
        [*two_tower, "data", "synthesize", data, "--ratings", "6000"]
        + ["--users", "200", "--movies", "60", "--format", "ml-100k"]
    )
    for path in (volume, volume / "serving", data.parent, data, *data.iterdir()):
        _open_to_all(path)
    settings = [
        f"kubeflow.image={IMAGE}",
        "kubeflow.input_base=/mnt/two-tower/data",
        "train.epochs=20",
        "model.embedding_dim=16",
        "model.title_tokens=100",
    ]
    sets = [part for setting in settings for part in ("--set", setting)]
    file = folder / "pipeline.yaml"
    _run([*two_tower, "compile", "--pinned-span", "-o", file, *sets])
    return file, volume


def _open_to_all(path: Path) -> None:
    """The steps are another user."""
    path.chmod(0o777)


def _check(volume: Path, root: Path) -> int:
    """Checks and prints the results; returns the exit code."""
    models = list((volume / "serving").glob("*/saved_model.pb"))
    if len(models) != 1:
        print(f"{len(models)} models were pushed, not 1")
        return 1
    info = models[0].parent / "assets.extra" / "model_info.json"
    print(f"pushed: {models[0].parent.name} {json.dumps(json.loads(info.read_text()))}")
    # As Kubeflow's user interface shows them.
    pages = list(root.glob("*/ReportGen/run_report/report.html"))
    metrics = list(root.glob("*/ReportGen/headline_metrics"))
    if len(pages) != 1 or len(metrics) != 1:
        print(
            f"{len(pages)} reports and {len(metrics)} tables of metrics, not 1 of each"
        )
        return 1
    print(f"metrics: {json.dumps(json.loads(metrics[0].read_text()))}")
    return 0


def _run(command: Sequence[object]) -> None:
    subprocess.run([str(part) for part in command], cwd=REPOSITORY, check=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as error:
        sys.exit(f"{' '.join(error.cmd[:3])} failed ({error.returncode}): see above.")
