"""How property tests run: with the same examples every time, or with new ones.

| profile  | where                          | examples                                                    |
|----------|--------------------------------|-------------------------------------------------------------|
| `fixed`  | `make test`, CI                | the same in every run: what is red once is red again         |
| `random` | `make soak-properties`         | new ones; what failed is kept in .hypothesis and tried first |

Neither judges how long an example takes: that is the machine's affair, and the time limit of the test's.
`--hypothesis-profile` chooses another one than `fixed`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import hypothesis.internal.conjecture.engine
from hypothesis import HealthCheck, settings
from hypothesis.database import DirectoryBasedExampleDatabase

#: Seconds for which Hypothesis may shrink a failing example: well within a test's limit, so that a failure
#: is reported with its example and not as a time-out. Its own bound is 300, of which its warning still tells.
SHRINK_S: Final = 20.0

_UNTIMED: Final = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def pytest_configure() -> None:
    """Bound the shrinking: there is no setting for it, only this constant (see `test_suite`)."""
    hypothesis.internal.conjecture.engine.MAX_SHRINKING_SECONDS = SHRINK_S  # type: ignore[assignment]


settings.register_profile("fixed", _UNTIMED, derandomize=True, database=None)
# Where CI is set, Hypothesis begins from a profile of its own: the same examples, and no database.
settings.register_profile(
    "random",
    _UNTIMED,
    max_examples=500,
    derandomize=False,
    database=DirectoryBasedExampleDatabase(Path(".hypothesis", "examples")),
)
settings.load_profile("fixed")
