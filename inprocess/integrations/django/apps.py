"""The app of INSTALLED_APPS: ties the jobs of this process to Django."""

from __future__ import annotations

from django.apps import AppConfig

from inprocess.integrations.django.connections import ClosedConnections
from inprocess.supervision.isolation.around import around_every_job


class InProcessConfig(AppConfig):  # type: ignore[misc]  # Django has no types
    """See the module. Starts nothing: no loop, no thread, no supervisor."""

    name = "inprocess.integrations.django"
    label = "inprocess"
    verbose_name = "Background work in this process"

    def ready(self) -> None:
        """Close the connections of each job from now on."""
        around_every_job(ClosedConnections)
