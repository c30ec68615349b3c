"""Ledgers at random, for the checker's property tests: events of seven jobs in any order and number."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from scenarios.jobs import WELCOME_EMAIL

Events = list[dict[str, Any]]
OF_REQUESTS = ("due", "request", "response", "unknown")
OF_JOBS = ("submit", "accepted", "refused", "start", "effect", "done", "failed", "cancelled", "held")


def event(number: int, kind: str, at: int, status: int, where: str) -> dict[str, Any]:
    name = {"request": f"u{number}"} if kind in OF_REQUESTS else {"job": f"u{number}/email"}
    return {"t": at, "event": kind, "scenario": WELCOME_EMAIL, "status": status, "where": where, **name}


#: Up to 60 events.
ledgers = st.lists(
    st.builds(
        event,
        st.integers(0, 6),
        st.sampled_from(OF_REQUESTS + OF_JOBS),
        st.integers(0, 10**10),
        st.sampled_from([201, 503]),
        st.sampled_from(["queue", "dead set"]),
    ),
    max_size=60,
)
