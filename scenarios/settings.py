"""Where the scenarios find their database and the outside services, read from the environment.

| variable              | meaning                                      | default                      |
|-----------------------|----------------------------------------------|------------------------------|
| DATABASE_URL          | SQLAlchemy URL                               | sqlite:///queue-or-task.db   |
| CRM_URL               | base URL of the CRM                          | http://127.0.0.1:8081        |
| FULFILLMENT_URL       | base URL of the fulfilment service           | http://127.0.0.1:8082        |
| NODE_URL              | base URL of the balance node                 | http://127.0.0.1:8083        |
| SMTP_URL              | smtp://host:port of the mail server          | smtp://127.0.0.1:8025        |
| DEPENDENCY_TIMEOUT_S  | how long one call to a service may take, s   | 5                            |
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from urllib.parse import urlsplit

#: Seconds that one call to an outside service may take before it counts as failed.
DEFAULT_DEPENDENCY_TIMEOUT_S = 5.0


class SettingsError(ValueError):
    """A variable of the environment that cannot be used; the text names it and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Addresses of the database and of the outside services; see the module's table."""

    database_url: str
    crm_url: str
    fulfillment_url: str
    node_url: str
    smtp_host: str
    smtp_port: int
    dependency_timeout_s: float

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Settings:
        """Read `env`; raise SettingsError for a value that cannot be used."""
        smtp_host, smtp_port = _smtp_address(env.get("SMTP_URL", "smtp://127.0.0.1:8025"))
        return cls(
            database_url=env.get("DATABASE_URL") or "sqlite:///queue-or-task.db",
            crm_url=env.get("CRM_URL", "http://127.0.0.1:8081"),
            fulfillment_url=env.get("FULFILLMENT_URL", "http://127.0.0.1:8082"),
            node_url=env.get("NODE_URL", "http://127.0.0.1:8083"),
            smtp_host=smtp_host,
            smtp_port=smtp_port,
            dependency_timeout_s=_seconds(env, "DEPENDENCY_TIMEOUT_S"),
        )


@cache
def current() -> Settings:
    """The settings of this process, read once from `os.environ`."""
    return Settings.from_env(os.environ)


def _smtp_address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme != "smtp" or not parts.hostname or port is None:
        message = f"SMTP_URL is {url!r}: expected smtp://host:port"
        raise SettingsError(message)
    return parts.hostname, port


def _seconds(env: Mapping[str, str], name: str) -> float:
    text = env.get(name, str(DEFAULT_DEPENDENCY_TIMEOUT_S))
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        message = f"{name} is {text!r}: expected a number of seconds above 0"
        raise SettingsError(message)
    return seconds
