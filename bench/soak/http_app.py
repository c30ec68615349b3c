"""The app of `http_soak`: FastAPI, which enqueues a job for each request, and its journal, which runs them.

SOAK_URL names the journal, SOAK_PORT the service that the jobs call.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI

from bench.soak.journal_app import Client
from inprocess.journal import Journal, current_job, durable

#: Seconds that a job takes.
JOB_S: Final = 0.02

journal = Journal(os.environ["SOAK_URL"], app="http soak")
clients: list[Client] = []


@durable(name="soak.call")
async def call(name: str) -> None:
    """Call the service at the begin and at the end of a job."""
    job = current_job()
    attempt = 0 if job is None else job.attempt
    await clients[0].say("run", name, attempt)
    await asyncio.sleep(JOB_S)
    await clients[0].say("effect", name, attempt)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Run the journal while the app lives."""
    clients.append(Client(int(os.environ["SOAK_PORT"])))
    async with journal:
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/jobs/{name}", status_code=202)
async def enqueue(name: str) -> dict[str, str]:
    """Accept a job: its row is on disk when this answers."""
    return {"id": (await call.enqueue(name)).id}
