"""The versions of a model that are loaded, and which of them answers what."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from components.serving_directory.labels import CANARY
from pipeline.serving.server.errors import invalid, not_found
from pipeline.serving.server.loaded import LoadedVersion
from pipeline.serving.server.wanted import Wanted, fingerprint, wanted_versions
from trainer.errors import UserError

_LOG: Final = logging.getLogger(__name__)
_POLL_SECONDS: Final = 1.0
_STOP_SECONDS: Final = 20.0


@dataclass(frozen=True)
class _State:
    """What is served; replaced as a whole, so that a reader never sees a half change.

    Attributes:
      loaded: By number.
      labels: Label -> number.
      live: Version for requests that name none.
    """

    loaded: dict[int, LoadedVersion] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    live: int | None = None


class ModelVersions:
    """Loads the versions of a serving directory, and follows its changes.

    A new version is loaded and warmed up before requests get it; the one that it
    replaces is dropped when the requests that use it have ended. A version that cannot
    be loaded is skipped, and what was served before is served on.

    Args:
      name: Name of the model.
      wanted: Returns what should be served; it is asked again and again.

    Attributes:
      name: Name of the model.
      reloads: Number of versions that were loaded.
      failures: Version -> why it cannot be loaded.
    """

    def __init__(self, name: str, wanted: Callable[[], Wanted]) -> None:
        self.name = name
        self.reloads = 0
        self.failures: dict[int, str] = {}
        self._damaged: dict[int, object] = {}  # version -> its fingerprint
        self._wanted = wanted
        self._state = _State()
        self._problem = ""
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @classmethod
    def of_serving_dir(cls, serving_dir: Path, name: str) -> ModelVersions:
        """Follows a serving directory."""
        return cls(name, lambda: wanted_versions(str(serving_dir)))

    @classmethod
    def of_model(cls, folder: Path, name: str) -> ModelVersions:
        """Serves one SavedModel; its version is the folder's name, or 1."""
        digits = folder.name.isascii() and folder.name.isdigit()
        version = int(folder.name) if digits else 1
        return cls(name, lambda: Wanted({version: str(folder)}, {}, [version], None))

    def get(self, version: int | str | None = None) -> LoadedVersion:
        """Returns a version to call; keep it only as long as the request lasts.

        Args:
          version: Number, label, or None for the live one.

        Raises:
          RequestError: It is not loaded.
        """
        state = self._state
        number = state.live if version is None else version
        if isinstance(number, str):
            if number not in state.labels:
                raise invalid(f"Unrecognized servable version label: {number}")
            number = state.labels[number]
        try:
            return state.loaded[number]  # type: ignore[index]
        except KeyError:
            kind = "Latest" if version is None else "Specific"
            which = self.name if version is None else f"{self.name}, {version}"
            message = f"Servable not found for request: {kind}({which})"
            raise not_found(message) from None

    def loaded(self) -> list[LoadedVersion]:
        """Returns all that is loaded, oldest version first."""
        return [version for _, version in sorted(self._state.loaded.items())]

    def refresh(self) -> None:
        """Looks once for what should be served, and loads and drops accordingly.

        Raises:
          UserError: The serving directory cannot be read, or nothing can be served.
        """
        wanted = self._wanted()
        loaded = dict(self._state.loaded)
        for gone in self._damaged.keys() - wanted.folders.keys():
            del self._damaged[gone]
            self.failures.pop(gone, None)
        live = self._first_loadable(wanted, loaded)
        if live is None:
            raise UserError(_nothing(wanted, self.failures), "See `two-tower models`.")
        canary = wanted.canary
        if canary is not None and self._load(canary, wanted, loaded) is None:
            canary = None
        served = {live} if canary is None else {live, canary}
        labels = {name: n for name, n in wanted.labels.items() if n in served}
        for name, number in wanted.labels.items():
            # What stands in for a version that cannot be loaded has its label.
            if number not in served and name != CANARY:
                labels[name] = live
        self._switch(_State({n: loaded[n] for n in served}, labels, live))

    def start(self) -> None:
        """Follows the serving directory in a thread, until `stop`."""
        self._thread = threading.Thread(
            target=self._follow, name="versions", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread that follows the serving directory.

        A version that is being loaded is waited for: Python would abort if it ended
        while a thread is inside TensorFlow.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _follow(self) -> None:
        while not self._stop.wait(_POLL_SECONDS):
            try:
                self.refresh()
                self._problem = ""
            except Exception as error:
                # What is served is served on.
                if str(error) != self._problem:
                    self._problem = str(error)
                    _LOG.warning("The versions cannot be followed: %s", error)

    def _first_loadable(
        self, wanted: Wanted, loaded: dict[int, LoadedVersion]
    ) -> int | None:
        """Loads the first candidate that can be loaded.

        One that is loaded is preferred to loading an older one.
        """
        for version in wanted.candidates:
            if self._load(version, wanted, loaded) is not None:
                return version
            live = self._state.live
            if live is not None and live in wanted.folders:
                return live
        return None

    def _load(
        self, version: int, wanted: Wanted, loaded: dict[int, LoadedVersion]
    ) -> LoadedVersion | None:
        """Loads a version, unless it is; None if it cannot be loaded."""
        if version in loaded:
            return loaded[version]
        folder = wanted.folders[version]
        mark = fingerprint(folder)
        if self._damaged.get(version) == mark:
            return None
        _LOG.info("Loading version %d.", version)
        try:
            loaded[version] = LoadedVersion(Path(folder), version)
        except Exception as error:
            self._damaged[version] = mark
            self.failures[version] = (str(error).splitlines() or [repr(error)])[0]
            _LOG.error(
                "Version %d cannot be loaded and is skipped: %s",
                *(version, self.failures[version]),
            )
            return None
        self.reloads += 1
        self._damaged.pop(version, None)
        self.failures.pop(version, None)
        return loaded[version]

    def _switch(self, new: _State) -> None:
        old, self._state = self._state, new
        for number, version in new.loaded.items():
            version.labels = tuple(
                sorted(name for name, n in new.labels.items() if n == number)
            )
        dropped = old.loaded.keys() - new.loaded.keys()
        if old.live != new.live or old.labels != new.labels or dropped:
            _LOG.info(
                "Serving version %s; labels: %s; dropped: %s.",
                *(new.live, new.labels or "none", sorted(dropped) or "none"),
            )
        if dropped:
            del old
            gc.collect()  # a model is full of reference cycles


def _nothing(wanted: Wanted, failures: dict[int, str]) -> str:
    causes = [f"{n}: {failures[n]}" for n in wanted.candidates if n in failures]
    if causes:
        return f"No version can be loaded: {'; '.join(causes)}"
    return "There is no complete version"
