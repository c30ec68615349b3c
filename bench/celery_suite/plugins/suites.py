"""The plug-ins whose suites are run, and the cases that a side cannot pass, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

_GOES_ON = (
    "the job fails, and with Sidekiq(app) it is not over: it is retried, and keeps what it holds meanwhile"
)

#: What all suites need beside pytest and Celery.
NEEDS: Final = ("pytest-django", "pytest-timeout", "pytest-celery==0.0.0", "mock", "six")


@dataclass(frozen=True, slots=True, kw_only=True)
class Suite:
    """A plug-in and its own tests."""

    #: Its name and version on the package index.
    name: str
    version: str
    #: What pytest is given, from the root of the source.
    tests: tuple[str, ...]
    #: Packages that the plug-in and its tests need.
    needs: tuple[str, ...] = ()
    #: Whether the source release has its tests; of celery-batches and celery-once no older one has.
    in_release: bool = True
    #: Whether the suite starts workers: then in-process stands in their place, else each app stands by.
    has_workers: bool = False
    #: Variables, where `{redis}` is the URL of the run's Redis.
    env: Mapping[str, str] = field(default_factory=dict)
    #: By side, what part of a case's name cannot apply there, with its reason.
    exceptions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


SUITES: Final = (
    Suite(
        name="django-celery-results",
        version="2.6.0",
        tests=("t/unit",),
        needs=("pytz",),
        env={"DJANGO_SETTINGS_MODULE": "t.proj.settings"},
    ),
    Suite(
        name="django-celery-beat",
        version="2.9.0",
        tests=("t/unit",),
        needs=(
            "pytz",
            "python-crontab",
            "django-timezone-field",
            "cron-descriptor",
            "tzdata",
            "ephem",
            "freezegun",
        ),
        env={"DJANGO_SETTINGS_MODULE": "t.proj.settings"},
    ),
    Suite(
        name="celery-batches",
        version="0.11",
        tests=("t/integration",),
        in_release=False,
        has_workers=True,
        env={"TEST_BROKER": "{redis}", "TEST_BACKEND": "{redis}"},
    ),
    Suite(
        name="celery-once",
        version="3.0.1",
        tests=("tests/unit", "tests/integration"),
        needs=("fakeredis", "flask", "pytest-mock", "freezegun"),
        in_release=False,
    ),
    Suite(
        name="celery-singleton",
        version="0.3.1",
        tests=("tests",),
        needs=("pytest-cov",),
        in_release=False,
        has_workers=True,
        env={"CELERY_SINGLETON_TEST_REDIS_URL": "{redis}"},
        exceptions={"sidekiq": {"test__queue_duplicate_after_error__different_ids": _GOES_ON}},
    ),
    Suite(
        name="opentelemetry-instrumentation-celery",
        version="0.66b2",
        tests=("tests",),
        needs=(
            "opentelemetry-sdk",
            "opentelemetry-instrumentation",
            "opentelemetry-semantic-conventions",
            "opentelemetry-test-utils",
        ),
        has_workers=True,
        exceptions={"sidekiq": {"test_task_raises": _GOES_ON}},
    ),
)
