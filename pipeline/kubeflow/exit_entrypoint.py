"""The command of the exit task: `python -m pipeline.kubeflow.exit_entrypoint`.

It runs when all other steps have ended, however they did, and sends that one failed;
what a run came to that ended well, its last step has sent. The exit code is always 0: a
notification that fails must not fail a run, and the log has it.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Final

from pipeline.kubeflow import exit_step
from pipeline.kubeflow.config import SPAN_PARAMETER
from pipeline.kubeflow.exit_step import NotifySettings
from pipeline.kubeflow.run_outcome import (
    Ended,
    failed_steps,
    of_failure,
)
from pipeline.kubeflow.spec_patches import NOTIFY_FLAG, STEP_FLAG
from pipeline.notifications.sender import send
from pipeline.secret_text import redacted
from trainer.text import start_logging

_LOG: Final = logging.getLogger(__name__)
# How long the server is asked for the steps: it learns of a failure seconds later.
_ASK_SECONDS: Final = 60.0
_POLL_SECONDS: Final = 3.0
_TIMEOUT_SECONDS: Final = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Sends a notification if a step failed; returns 0."""
    start_logging(clean=redacted)
    parser = argparse.ArgumentParser(
        prog="pipeline.kubeflow.exit_entrypoint",
        description=__doc__,
        allow_abbrev=False,
    )
    parser.add_argument(NOTIFY_FLAG, required=True)
    parser.add_argument(exit_step.INPUT_FLAG, required=True)
    parser.add_argument(STEP_FLAG, default=exit_step.EXIT_STEP)
    options = parser.parse_args(arguments)
    try:
        _run(options)
    except Exception:
        _LOG.exception("%s sent nothing", options.step)
    return 0


def _run(options: argparse.Namespace) -> None:
    settings = NotifySettings.from_argument(options.notify)
    inputs = json.loads(options.executor_input).get("inputs", {})
    values = inputs.get("parameterValues", {})
    given = {
        key: str(values.get(key) or "")
        for key in (exit_step.RUN_ID, exit_step.CREATED, SPAN_PARAMETER)
    }
    ended = _ended(values.get(exit_step.FINAL_STATUS), given[exit_step.RUN_ID])
    if ended.is_well:
        _LOG.info("No step failed: the last step has sent the outcome")
        return
    outcome = of_failure(settings, ended, **given)
    faults = send(outcome, settings.notify)
    for fault in faults:
        _LOG.error("%s", fault)
    if not faults:
        _LOG.info("Sent to every channel that wants it")


def _ended(status: Any, run_id: str) -> Ended:
    """How the run ended: by the state that the server passed on, and by its API."""
    state = str(status.get("state") or "") if isinstance(status, dict) else ""
    known = Ended(state)
    return known if known.is_well else Ended(state, _ask(run_id))


def _ask(run_id: str) -> dict[str, str] | None:
    """The steps that failed; None if the server does not say within the time.

    In a thread: whatever it does, the notification is sent.
    """
    found: list[dict[str, str]] = []
    end = time.monotonic() + _ASK_SECONDS

    def poll() -> None:
        from pipeline.kubeflow.server.client import Client
        from pipeline.kubeflow.server.endpoint import Endpoint

        client = Client(Endpoint(timeout_seconds=_TIMEOUT_SECONDS))
        while True:
            steps = failed_steps(client.request("GET", f"runs/{run_id}"))
            found.append(steps)
            if steps or time.monotonic() + _POLL_SECONDS > end:
                return
            time.sleep(_POLL_SECONDS)

    def run() -> None:
        try:
            poll()
        except Exception as error:
            _LOG.warning("The server does not say which step failed: %s", error)

    if not run_id:
        return None
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(_ASK_SECONDS)
    return found[-1] if found else None


if __name__ == "__main__":
    sys.exit(main())
