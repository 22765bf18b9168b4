"""Standard error of `two-tower recommend`, with a TensorFlow that logs much.

The stand-in for TensorFlow writes the lines that no environment variable turns off, as
TensorFlow 2.21 does, from C++ and from Python.
"""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.command import environment, error_line, two_tower
from tests.fixtures.served_versions import graph
from tests.pipeline.serving.test_client import write_info

TENSORFLOW = """
import atexit, logging, os, sys, warnings
import numpy as np

class errors:
    class OpError(Exception): pass
    class InvalidArgumentError(OpError): pass

def log(what):
    os.write(2, f"WARNING: log messages before absl::InitializeLog: {what}\\n".encode())
    print(f"printed: {what}", file=sys.stderr)
    logging.getLogger("tensorflow").warning("logged: %s", what)
    warnings.warn(f"warned: {what}")

class Shape(tuple):
    rank = property(len)

class Tensor:
    def __init__(self, value): self.value, self.shape = value, Shape(np.shape(value))
    def numpy(self): return self.value

def constant(value, dtype): return Tensor(value)

def known_user(user_id):
    log("known_user")
    return {"known": Tensor(np.array([user_id.value == [b"1"]]))}

def serving_default(user_id, k):
    log("serving_default")
    columns = {"movie_ids": b"7", "titles": b"Big [1953]", "genres": b"Drama"}
    answer = {name: Tensor(np.array([[value]])) for name, value in columns.items()}
    return answer | {"scores": Tensor(np.array([[1.5]]))}

known_user.structured_input_signature = ((), {"user_id": None})
serving_default.structured_input_signature = ((), {"user_id": None, "k": None})

class Model:
    signatures = {"known_user": known_user, "serving_default": serving_default}

class saved_model:
    def load(path):
        log("load")
        LOAD
        return Model

log("import")
atexit.register(os.write, 2, b"absl: destroyed")
"""


def make_workspace(folder: Path, load: str = "pass") -> None:
    """Makes a workspace with a pushed model, and the stand-in beside it.

    Args:
      folder: The working directory of the command, which Python imports from first.
      load: Statement that the stand-in runs when it loads the model.
    """
    (folder / "workspace").mkdir()
    (folder / "workspace" / "workspace.json").write_text(json.dumps({"format": 1}))
    model = write_info(folder / "workspace" / "serving" / "1")
    (model / "saved_model.pb").write_bytes(graph("no model"))
    (folder / "tensorflow.py").write_text(TENSORFLOW.replace("LOAD", load))


def test_nothing_that_a_library_logs_is_shown(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    done = two_tower("recommend", "--user", "1", "-k", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Big [1953]" in done.stdout
    assert done.stderr == ""


def test_a_terminal_shows_only_the_spinner(tmp_path: Path) -> None:
    make_workspace(tmp_path, load="import time; time.sleep(0.3)")
    reader, terminal = pty.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "recommend", "--user", "1", "-k", "1"],
        cwd=tmp_path,
        env=environment(TERM="xterm"),
        stdout=subprocess.PIPE,
        stderr=terminal,
        timeout=60,
        check=True,
    )
    os.close(terminal)
    shown = os.read(reader, 1 << 16).decode()
    os.close(reader)
    assert b"Big [1953]" in done.stdout
    assert "starting TensorFlow" in shown
    assert not [
        word for word in ("absl", "printed", "logged", "warned") if word in shown
    ]


def test_an_expected_error_is_one_line(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    done = two_tower("recommend", "--user", "2", "-k", "1", cwd=tmp_path)
    assert "knows no user '2'" in error_line(done, exit_code=2)


@pytest.mark.parametrize("error", ["OSError", "errors.OpError", "IndexError"])
def test_a_model_that_cannot_be_loaded_is_named(tmp_path: Path, error: str) -> None:
    make_workspace(tmp_path, load=f"raise {error}('no variables\\nat line 1')")
    done = two_tower("recommend", "--user", "1", "-k", "1", cwd=tmp_path)
    line = error_line(done, exit_code=1)
    assert "TensorFlow cannot load the model" in line
    assert "workspace/serving/1: no variables. Push a new model" in line


def test_an_unexpected_error_leads_to_what_was_logged(tmp_path: Path) -> None:
    make_workspace(tmp_path)
    fake = tmp_path / "tensorflow.py"
    fake.write_text(fake.read_text() + "{}['no such']\n")
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "recommend", "--user", "1", "-k", "1"],
        cwd=tmp_path,
        env=environment(TMPDIR=str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
    )
    line = error_line(done, exit_code=1)
    [log] = tmp_path.glob("two-tower-*.log")
    assert "Unexpected KeyError: 'no such'" in line and str(log) in line
    kept = log.read_text()
    assert "Traceback" in kept and "InitializeLog: import" in kept
