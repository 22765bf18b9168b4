"""A standalone Spark: a master here, and a worker with a pool of SDK workers a machine.

Spark comes from PyPI, Beam's runner for it from Maven Central: see `setup.sh`.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.engines.machines import SUBMITTER, Machine
from tests.engines.pools import PORT, start_pool, wait_until

SOFTWARE: Final = Path(__file__).parent / ".software"
MASTER: Final = f"spark://{SUBMITTER}:7077"
REST: Final = f"http://{SUBMITTER}:8080/json/"


def spark_home() -> Path:
    """Returns the folder of Spark in the environment that `setup.sh` made."""
    return next(SOFTWARE.glob("spark/lib/python*/site-packages/pyspark"))


def job_server_jar() -> Path:
    """Writes an empty jar whose class path is Beam's runner and Spark.

    Beam starts it with `java -jar`. The jar that Beam publishes for this, which has
    both in it, is not in every mirror of Maven Central.
    """
    jars = [*(SOFTWARE / "jars").glob("*.jar"), *spark_home().glob("jars/*.jar")]
    names = " ".join(jar.as_uri() for jar in sorted(jars, key=_spark_first))
    main = "org.apache.beam.runners.spark.SparkJobServerDriver"
    lines = ("Manifest-Version: 1.0", f"Main-Class: {main}", f"Class-Path: {names}")
    jar = SOFTWARE / "spark-job-server.jar"
    with zipfile.ZipFile(jar, "w") as file:
        manifest = "".join(f"{_folded(line)}\r\n" for line in lines)
        file.writestr("META-INF/MANIFEST.MF", manifest)
    return jar


def _spark_first(jar: Path) -> tuple[bool, str]:
    return (SOFTWARE / "jars" in jar.parents, jar.name)


def _folded(line: str) -> str:
    """Splits a line as manifests require: at most 72 bytes, the rest after a space."""
    first, rest = line[:70], line[70:]
    parts = [first, *(rest[i : i + 69] for i in range(0, len(rest), 69))]
    return "\r\n ".join(parts)


@dataclass
class SparkCluster:
    """A running cluster."""

    workers: Sequence[Machine]
    master: subprocess.Popen[bytes]

    def settings(self, shared: Path) -> list[str]:
        """Returns what `two-tower run` is given to run its steps here.

        Args:
          shared: Folder that all machines see.
        """
        jar = job_server_jar()
        properties = [
            "-Xmx1g",
            f"-Dspark.driver.host={SUBMITTER}",
            f"-Dspark.executor.extraClassPath={SOFTWARE}/jars/*",
            "-Dspark.executor.memory=700m",
        ]
        options = {
            "job_server_jvm_properties": properties,
            # The workers have these classes. By default Beam sends each job's executors
            # all jars of the job server's class path, 400 with Spark's own.
            "files_to_stage": [str(jar)],
        }
        return [
            "--engine=spark",
            *("--set", f"engine.master={MASTER}"),
            *("--set", f"engine.job_server_jar={jar}"),
            *("--set", f"engine.environment_config=localhost:{PORT}"),
            *("--set", f"engine.shared_dir={shared / 'beam'}"),
            *("--set", f"engine.options={json.dumps(options)}"),
            *("--set", "engine.timeout_seconds=900"),
        ]

    def state(self) -> dict[str, Any]:
        """Asks Spark for its workers and applications."""
        with urllib.request.urlopen(REST, timeout=10) as answer:
            state: dict[str, Any] = json.load(answer)
            return state

    def alive(self) -> list[str]:
        """Returns the addresses of the workers that are alive."""
        found = self.state()["workers"]
        return [worker["host"] for worker in found if worker["state"] == "ALIVE"]

    def start_worker(self, machine: Machine) -> None:
        """Starts a Spark worker and the pool of Python workers beside it."""
        start_pool(machine)
        spark = [str(spark_home() / "bin" / "spark-class")]
        resources = ["--host", machine.address, "--cores", "1", "--memory", "1g"]
        folder = ["--work-dir", "/tmp/spark"]
        main = "org.apache.spark.deploy.worker.Worker"
        machine.start(
            "spark", [*spark, main, *resources, *folder, MASTER], _environment()
        )


@contextlib.contextmanager
def spark_cluster(workers: Sequence[Machine], logs: Path) -> Iterator[SparkCluster]:
    """Starts a cluster, and ends it."""
    main = "org.apache.spark.deploy.master.Master"
    spark = [str(spark_home() / "bin" / "spark-class"), main]
    with (logs / "spark-master.log").open("ab") as out:
        master = subprocess.Popen(
            [*spark, "--host", SUBMITTER, "--port", "7077", "--webui-port", "8080"],
            env={**os.environ, **_environment()},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        cluster = SparkCluster(workers, master)
        for machine in workers:
            cluster.start_worker(machine)
        wait_until(lambda: len(cluster.alive()) == len(workers), "Spark's workers", 300)
        yield cluster
    finally:
        master.terminate()
        master.wait()


def _environment() -> dict[str, str]:
    return {"SPARK_HOME": str(spark_home()), "SPARK_NO_DAEMONIZE": "1"}
