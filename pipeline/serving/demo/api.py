"""The JSON endpoints of the page.

Each is a POST with a JSON body: what somebody searches for stays out of access logs,
and a page of another origin cannot ask without a preflight, which is not answered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import orjson
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pipeline.serving.demo import answers, questions
from pipeline.serving.demo.movies import Known, KnownByVersion
from pipeline.serving.server.errors import RequestError
from pipeline.serving.server.loaded import LoadedVersion
from pipeline.serving.server.models import ModelVersions
from trainer.text import printable

_LARGEST_BODY = 1 << 20
Asked = TypeVar("Asked", bound=questions.Question)


class Api:
    """Answers the questions of the page.

    Args:
      versions: What the server has loaded.
    """

    def __init__(self, versions: ModelVersions) -> None:
        self._versions = versions
        self._known = KnownByVersion()

    def routes(self) -> list[Route]:
        """Returns the endpoints, relative to where the page is mounted."""
        return [
            _endpoint("versions", questions.Question, self.versions),
            _endpoint("users", questions.Search, self.users),
            _endpoint("random-user", questions.Question, self.random_user),
            _endpoint("timeline", questions.Timeline, self.timeline),
            _endpoint("movies", questions.Search, self.movies),
            _endpoint("lookup", questions.Lookup, self.lookup),
            _endpoint("similar", questions.Similar, self.similar),
            _endpoint("recommend", questions.Recommend, self.recommend),
        ]

    def versions(self, _: questions.Question) -> dict[str, Any]:
        """Describes what is live and the canary, if there is one."""
        return {"versions": [self._described(loaded) for loaded in self._shown()]}

    def users(self, asked: questions.Search) -> dict[str, Any]:
        """Finds stored users by id."""
        users = self._live()[1].users
        return {"users": users.search(asked.query, asked.limit), "total": len(users)}

    def random_user(self, _: questions.Question) -> dict[str, Any]:
        """Picks a stored user."""
        return {"user_id": self._live()[1].users.any()}

    def timeline(self, asked: questions.Timeline) -> dict[str, Any]:
        """Returns what a user has watched, oldest event first, if that is stored."""
        loaded, known = self._live()
        knows_user = answers.knows(loaded, asked.user_id)
        events = answers.timeline(loaded, known, asked.user_id) if knows_user else []
        return {"knows_user": knows_user, "events": events}

    def movies(self, asked: questions.Search) -> dict[str, Any]:
        """Finds movies by title."""
        return {"movies": self._live()[1].movies.search(asked.query, asked.limit)}

    def lookup(self, asked: questions.Lookup) -> dict[str, Any]:
        """Returns movies by id, in the order asked, also unknown ones."""
        movies = self._live()[1].movies
        return {"movies": [movies.get(movie_id) for movie_id in asked.movie_ids]}

    def similar(self, asked: questions.Similar) -> dict[str, Any]:
        """Returns a movie and those that are most like it."""
        loaded, known = self._live()
        movie = known.movies.get(asked.movie_id)
        if not movie.is_known:
            raise HTTPException(
                404,
                f"Version {loaded.version} knows no movie “{printable(movie.id)}”.",
            )
        k = min(asked.k, len(known.movies))
        found = answers.similar(loaded, known, movie.id, k)
        return {"version": loaded.version, "movie": movie, "similar": found}

    def recommend(self, asked: questions.Recommend) -> dict[str, Any]:
        """Recommends with what is live, and with the canary if there is one."""
        self._live()
        return {
            "answers": [
                answers.recommend(loaded, self._known.of(loaded.model), asked)
                for loaded in self._shown()
                if not answers.missing_functions(loaded)
            ]
        }

    def _shown(self) -> list[LoadedVersion]:
        """Returns what is live and, if it is another version, the canary."""
        try:
            live = self._versions.get()
        except RequestError:
            raise HTTPException(
                503, "No model is served yet. `two-tower run` pushes one."
            ) from None
        try:
            canary = self._versions.get("canary")
        except RequestError:
            return [live]
        return [live] if canary.version == live.version else [live, canary]

    def _live(self) -> tuple[LoadedVersion, Known]:
        live = self._shown()[0]
        if missing := answers.missing_functions(live):
            raise HTTPException(
                501,
                f"Version {live.version} was exported by an earlier release: it has no "
                f"{' and no '.join(missing)}. Push a new model with `two-tower run`.",
            )
        return live, self._known.of(live.model)

    def _described(self, loaded: LoadedVersion) -> dict[str, Any]:
        """Returns what the page shows of a version."""
        info = loaded.info
        missing = answers.missing_functions(loaded)
        described = {
            "version": loaded.version,
            "labels": list(loaded.labels),
            "dataset": printable(info.dataset),
            "missing": missing,
        }
        if missing:
            return described
        known = self._known.of(loaded.model)
        return described | {
            "users": len(known.users),
            "movies": len(known.movies),
            "genres": known.movies.genres,
            "years": [known.movies.first_year, known.movies.last_year],
            "max_k": min(info.max_k, len(known.movies)),
            "scale": info.rating_scale,
            "liked": info.rating_scale.liked,
            "has_diversity": answers.has_diversity(loaded),
        }


def _endpoint(
    name: str, body: type[Asked], answer: Callable[[Asked], dict[str, Any]]
) -> Route:
    """Returns the route of a question, whose answer is computed in a thread."""

    async def endpoint(request: Request) -> Response:
        try:
            asked = body.model_validate_json(await _read(request))
            return _json(await run_in_threadpool(answer, asked))
        except ValidationError as error:
            return _json({"error": _first_fault(error)}, 400)
        except HTTPException as error:
            return _json({"error": error.detail}, error.status_code)
        except RequestError as error:
            return _json({"error": error.message}, error.http_status)

    return Route(f"/api/{name}", endpoint, methods=["POST"])


async def _read(request: Request) -> bytes:
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise HTTPException(415, "The body must be application/json.")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > _LARGEST_BODY:
            raise HTTPException(413, f"The body exceeds {_LARGEST_BODY:,} bytes.")
    return bytes(body)


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, fault["loc"])) or "body"
    return printable(f"{where}: {fault['msg']}")


def _json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")
