"""A page to try a model in the browser, on the application of the model server.

It shows what stored users have watched, so a server offers it only if asked to.

```
/                 leads to the page
/demo/            the page: one document, no request to anywhere else
/demo/api/...     its JSON: see `pipeline.serving.demo.api`
```
"""

from __future__ import annotations

from collections.abc import Sequence

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.routing import BaseRoute, Mount, Route

from pipeline.serving.demo.access import OwnHosts
from pipeline.serving.demo.api import Api
from pipeline.serving.demo.page import render
from pipeline.serving.server.models import ModelVersions


def routes(versions: ModelVersions, hosts: Sequence[str] = ()) -> list[BaseRoute]:
    """Returns the routes of the page.

    Args:
      versions: What the server has loaded.
      hosts: Names of the server, beyond those of this machine, that a browser may call
        it by.
    """
    page, headers = render()

    async def show(_: Request) -> HTMLResponse:
        return HTMLResponse(page, headers=headers)

    async def lead_there(request: Request) -> RedirectResponse:
        return RedirectResponse("demo/")

    return [
        Route("/", lead_there),
        Mount(
            "/demo",
            routes=[Route("/", show), *Api(versions).routes()],
            middleware=[Middleware(OwnHosts, hosts=tuple(hosts))],
        ),
    ]
