"""HTTP clients for the outside services: one per process for threads, one per event loop for coroutines."""

from __future__ import annotations

import asyncio
import os
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import httpx

from scenarios import settings

_per_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, httpx.AsyncClient] = WeakKeyDictionary()


class ServiceError(RuntimeError):
    """An outside service did not do what was asked: no answer in time, or an answer that is no success."""


def client() -> httpx.Client:
    """The blocking client of this process; a forked child gets one of its own."""
    return _client(os.getpid())


def async_client() -> httpx.AsyncClient:
    """The client of the running event loop; raise RuntimeError outside of one."""
    loop = asyncio.get_running_loop()
    made = _per_loop.get(loop)
    if made is None or made.is_closed:
        made = _per_loop[loop] = httpx.AsyncClient(trust_env=False)
    return made


def request(method: str, url: str, **options: Any) -> httpx.Request:
    """A request with the time limit of the settings; `options` are those of `httpx.Request`."""
    timeout = httpx.Timeout(settings.current().dependency_timeout_s)
    return httpx.Request(method, url, extensions={"timeout": timeout.as_dict()}, **options)


def send(request: httpx.Request) -> httpx.Response:
    """Send and return a successful response; raise ServiceError otherwise."""
    try:
        return _checked(client().send(request))
    except httpx.HTTPError as error:
        raise _service_error(request, error) from error


async def asend(request: httpx.Request) -> httpx.Response:
    """As `send`, for a coroutine."""
    try:
        return _checked(await async_client().send(request))
    except httpx.HTTPError as error:
        raise _service_error(request, error) from error


@cache
def _client(_pid: int) -> httpx.Client:
    return httpx.Client(trust_env=False)


def _checked(response: httpx.Response) -> httpx.Response:
    return response.raise_for_status()


def _service_error(request: httpx.Request, error: httpx.HTTPError) -> ServiceError:
    return ServiceError(f"{request.method} {request.url}: {str(error) or type(error).__name__}")
