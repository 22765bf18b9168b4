"""One retraining, or those that were missed: from the lock to the outcome.

What has happened is only ever read from records, so a command that was killed is
repeated as it was: finished steps are cached, and the Trainer goes on from its
checkpoint.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from pipeline.config import PipelineConfig
from pipeline.datasets.source import check
from pipeline.local.session import (
    end_cleanly_on_signals,
    full_disk_explained,
    run_locked,
)
from pipeline.monitoring.publisher import publish
from pipeline.notifications.sender import send
from pipeline.retraining import records
from pipeline.retraining.outcome import Outcome, Status
from pipeline.retraining.outcome_log import append_outcome, read_outcomes
from pipeline.retraining.request import Display, Request
from pipeline.retraining.retention import retain
from pipeline.retraining.run_outcome import (
    Before,
    fields_of_run,
    find_before,
    interrupted_run,
)
from pipeline.retraining.span_checks import unfit
from pipeline.retraining.spans import Spans, choose
from pipeline.retraining.triggers import Decision, reasons_to_retrain
from pipeline.runs.summary import Summary
from pipeline.runs.workspace import RunFiles, Workspace
from pipeline.runs.workspace_lock import LockedError
from trainer.errors import UsageError, UserError

# Statuses after which a catch-up does not go on to the next span.
_STOPS: Final = frozenset({Status.FAILED, Status.LOCKED})
_LOG: Final = logging.getLogger(__name__)


def retrain(request: Request, display: Display) -> list[Outcome]:
    """Retrains on each span that is wanted, until one fails.

    Every outcome is recorded and sent, also that of an exception that passes.

    Args:
      request: What is asked for.
      display: Shows what is done.

    Returns:
      The outcomes, at least one.

    Raises:
      LockedError: Another command uses the workspace.
      UserError: No run could be started.
    """
    end_cleanly_on_signals()
    retraining = _Retraining(request, display)
    try:
        with full_disk_explained(request.workspace), contextlib.ExitStack() as held:
            check(request.config.data, request.data_dir)
            workspace = Workspace.open(request.workspace, create=True)
            lock = held.enter_context(
                workspace.lock(wait=request.wait, report=display.note)
            )
            return list(retraining.run(workspace, lock))
    except LockedError as error:
        retraining.end_without_run(Status.LOCKED, str(error))
        raise
    except UserError as error:
        retraining.end_without_run(Status.FAILED, str(error))
        raise
    except (KeyboardInterrupt, SystemExit):
        retraining.end_interrupted()
        raise
    except Exception as error:
        text = f"unexpected {type(error).__name__}: {error}"
        retraining.end_without_run(Status.FAILED, text)
        raise


class _Retraining:
    """The state of one command: what its next outcome begins with."""

    def __init__(self, request: Request, display: Display) -> None:
        self._request = request
        self._display = display
        self._trigger = request.trigger
        self._outcomes = list[Outcome]()
        self._begin(None)

    def _begin(self, span: str | None) -> None:
        self._start = time.monotonic()
        self._started = datetime.datetime.now(datetime.timezone.utc)
        self._span = span
        self._before = Before()
        self._has_ended = False

    def run(self, workspace: Workspace, lock: int) -> Iterator[Outcome]:
        """Retrains on each span, and yields its outcome."""
        request = self._request
        spans = Spans.of(self._folder(workspace), request.config.data)
        self._outcomes = read_outcomes(workspace.root)
        trained = records.newest_trained(self._outcomes, workspace, spans)
        chosen: list[int | None] = [None]
        if spans.folders or request.wanted.span is not None:
            today = request.moment.astimezone(datetime.timezone.utc).date()
            chosen = [*choose(spans, request.wanted, trained, today)]
        if len(chosen) > 1:
            names = [spans.name(span) for span in chosen if span is not None]
            self._display.note(
                f"{len(names)} spans to retrain on: {names[0]} to {names[-1]}"
            )
        if request.if_needed:
            why_not = self._why_not(workspace, spans, chosen[-1], trained)
            if why_not is not None:
                yield why_not
                return
        for span in chosen:
            outcome = self._retrain(workspace, lock, spans, span, trained)
            yield outcome
            if outcome.status in _STOPS or outcome.failed_step:
                return
            if records.is_trained(outcome) and span is not None:
                trained = max(span, trained or span)

    def _why_not(
        self, workspace: Workspace, spans: Spans, span: int | None, trained: int | None
    ) -> Outcome | None:
        """Looks for a reason to retrain; returns the outcome if there is none.

        Raises:
          UsageError: There are no spans, and hence no new one.
        """
        if span is None:
            raise UsageError(
                "--if-needed looks at a new span, but the data folder has no spans",
                "Put new ratings into span folders, or omit the option.",
            )
        self._begin(spans.name(span))
        self._before = find_before(workspace, ())
        self._display.note("Looking for a reason to retrain")
        decision = decide(
            self._request.config,
            self._folder(workspace),
            str(workspace.serving_dir),
            trained=trained,
            span=spans.setting(span),
        )
        for reason in decision.reasons:
            self._display.note(f"Reason: {reason}")
        if decision.reasons:
            self._trigger = ", ".join(c.trigger.value for c in decision.reasons)
            return None
        return self.end_without_run(
            Status.NOTHING_TO_DO, *(f"no reason: {c}" for c in decision.why_not)
        )

    def _retrain(
        self,
        workspace: Workspace,
        lock: int,
        spans: Spans,
        span: int | None,
        trained: int | None,
    ) -> Outcome:
        self._begin(None if span is None else spans.name(span))
        done = [o for o in self._outcomes if o.status == Status.PUSHED]
        pushed = [o.pushed_version or o.live_version for o in done]
        before = find_before(workspace, [version for version in pushed if version])
        self._before = before
        if span is not None:
            if trained is not None and span < trained:
                return self.end_without_run(
                    Status.NOTHING_TO_DO, _is_older(spans, span, trained)
                )
            if (fault := unfit(spans, span)) is not None:
                return self.end_without_run(Status.REFUSED, fault)
        summary, files = run_locked(
            self._with_span(spans, span),
            workspace,
            lock,
            self._display.view(),
            data_dir=self._request.data_dir,
            no_cache=self._request.no_cache,
            started=self._started.timestamp(),
        )
        fields = dict(fields_of_run(summary, files, before))
        earlier = records.trained_before(self._outcomes, self._span)
        changed = earlier and earlier.data_fingerprint != fields.get("data_fingerprint")
        if earlier and changed and fields.get("data_fingerprint"):
            fields["reasons"] = [*fields["reasons"], _was_changed(earlier)]
        outcome = self._outcome(**fields)
        # Before old runs are removed: a command that is killed then has reported it.
        self._end(outcome, summary, files)
        self._retain(workspace)
        return outcome

    def _folder(self, workspace: Workspace) -> Path:
        """The folder with the ratings, which need not have been fetched yet."""
        dataset = self._request.config.data.dataset
        return self._request.data_dir or workspace.data_dir / dataset

    def _with_span(self, spans: Spans, span: int | None) -> PipelineConfig:
        """The configuration, with the span that it ends at named."""
        config = self._request.config
        if span is None:
            return config
        return replace(config, data=replace(config.data, last_span=spans.setting(span)))

    def _retain(self, workspace: Workspace) -> None:
        try:
            retain(workspace, self._request.config.retrain)
        except Exception as error:  # also of ML Metadata: the outcome is reported
            text = str(error) or type(error).__name__
            self._warn(f"Old runs were not all removed: {text}")

    def end_without_run(self, status: Status, *reasons: str) -> Outcome:
        """Records and sends the outcome of a retraining that came to no run."""
        if self._before.runs is None:  # it ended before that was looked for
            workspace = Workspace(self._request.workspace.absolute())
            with contextlib.suppress(UserError, OSError):
                self._before = find_before(workspace, ())
        outcome = self._outcome(
            status=status, reasons=list(reasons), live_version=self._before.live
        )
        self._end(outcome, None, None)
        return outcome

    def end_interrupted(self) -> None:
        """Records and sends that a signal ended the command, during a run or not."""
        if self._has_ended:  # old runs were being removed
            return
        found = interrupted_run(self._request.workspace, self._before)
        if found is None:
            self.end_without_run(Status.FAILED, "interrupted")
        else:
            summary, files = found
            outcome = self._outcome(**fields_of_run(summary, files, self._before))
            self._end(outcome, summary, files)

    def _outcome(self, **fields: Any) -> Outcome:
        return Outcome(
            pipeline=self._request.config.name,
            workspace=str(self._request.workspace.absolute()),
            started=self._started.isoformat(),
            seconds=round(time.monotonic() - self._start, 2),
            span=self._span,
            trigger=self._trigger,
            **{"previous_version": self._before.live, **fields},
        )

    def _end(
        self, outcome: Outcome, summary: Summary | None, files: RunFiles | None
    ) -> None:
        self._outcomes.append(outcome)
        self._has_ended = True
        workspace = Path(outcome.workspace)
        try:
            # A folder that was mistyped is not made for this.
            if workspace.is_dir():
                append_outcome(workspace, outcome)
        except OSError as error:
            self._warn(f"The outcome cannot be recorded: {error.strerror}")
        self._display.ended(outcome, summary, files)
        config = self._request.config
        faults = [
            *send(outcome, config.notify),
            *publish(outcome, config.monitoring),
        ]
        for fault in faults:
            self._warn(fault)

    def _warn(self, text: str) -> None:
        _LOG.warning("%s", text)
        self._display.warn(text)


def decide(*args: Any, **kwargs: Any) -> Decision:
    """Calls `reasons_to_retrain` in a process of its own.

    It imports TensorFlow, whose memory would stay with this process during the run.
    """
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        return pool.submit(_decide, *args, **kwargs).result()


def _decide(*args: Any, **kwargs: Any) -> Decision:
    """Calls `reasons_to_retrain`; ends with the command, even if that is killed."""

    def end_with_parent() -> None:
        parent = multiprocessing.parent_process()
        assert parent is not None
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    return reasons_to_retrain(*args, **kwargs)


def _is_older(spans: Spans, span: int, trained: int) -> str:
    return (
        f"{spans.name(span)} is older than {spans.name(trained)}, which was trained on "
        "before: a retraining of that or of a newer span reads it, if it is in the "
        "window. `two-tower run --set data.last_span="
        f"{spans.setting(span)}` trains on the older window all the same"
    )


def _was_changed(earlier: Outcome) -> str:
    return (
        f"the data was changed since run {earlier.run_id} was trained on it: a span "
        "was rewritten, or arrived late"
    )
