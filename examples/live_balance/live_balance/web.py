"""The page and its stream: `uvicorn live_balance.web:web`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from fastapi.templating import Jinja2Templates
from pydantic import BaseModel

from live_balance.builds import account_sync, lifespan
from scenarios.balances import Balance

#: Seconds between two looks at the stored balance.
LOOK_S = 0.2
#: Seconds without a change after which a comment goes out, so that a closed connection is noticed.
ALIVE_S = 15.0

web = FastAPI(title="Live balance", lifespan=lifespan)
pages = Jinja2Templates(Path(__file__).parent / "templates")


class Shown(BaseModel):
    """What the page shows: the balance in the smallest unit, and when it was fetched."""

    owner: str
    balance: int | None
    last_run_at: str | None

    @classmethod
    def of(cls, owner: str, stored: Balance | None) -> Shown:
        """Return what is shown of a stored balance; None where there is none yet."""
        if stored is None or stored.last_run_at is None:
            return cls(owner=owner, balance=None, last_run_at=None)
        return cls(owner=owner, balance=stored.balance, last_run_at=stored.last_run_at.isoformat())


@web.get("/accounts/{owner}", response_class=HTMLResponse)
def page(request: Request, owner: str) -> HTMLResponse:
    """Start the owner's sync, and show the last balance: readable without scripts, too."""
    account_sync.start(owner)
    return pages.TemplateResponse(request, "account.html", {"shown": look(owner)})


@web.get("/accounts/{owner}/stream")
async def stream(owner: str) -> StreamingResponse:
    """Send the balance now and whenever a sync has stored another one, as server-sent events.

    A page that comes back after the app was started again starts the owner's sync anew.
    """
    await asyncio.to_thread(account_sync.start, owner)
    return StreamingResponse(changes(owner), media_type="text/event-stream")


@web.delete("/accounts/{owner}", status_code=204)
def stop(owner: str) -> None:
    """Sync the owner no longer; the last balance stays readable."""
    account_sync.stop(owner)


def look(owner: str) -> Shown:
    """Return what is stored now."""
    return Shown.of(owner, account_sync.state(owner))


async def changes(owner: str) -> AsyncIterator[str]:
    """Yield an event at each new balance. The client that leaves ends it."""
    before, quiet_s = None, 0.0
    while True:
        shown = await asyncio.to_thread(look, owner)
        if shown != before:
            before, quiet_s = shown, 0.0
            yield f"data: {shown.model_dump_json()}\n\n"
        elif quiet_s >= ALIVE_S:
            quiet_s = 0.0
            yield ": still here\n\n"
        await asyncio.sleep(LOOK_S)
        quiet_s += LOOK_S
