"""The command for who comes from redis://: adopt."""

from __future__ import annotations

from typing import Final

import click
from celery import Celery

from celery_impl.sidekiq.api import adopt_unacked
from celery_impl.sidekiq.cli.common import as_json, command, done


@click.command()
@as_json
@command
def adopt(app: Celery, *, as_json: bool) -> None:
    """Queue what workers of redis:// took and never acknowledged; end these workers before."""
    done("queued", adopt_unacked(app), as_json=as_json)


COMMANDS: Final = (adopt,)
