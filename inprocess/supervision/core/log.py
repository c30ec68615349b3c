"""The one logger of the runtime, a file of its own so that every module can use it without a circle."""

from __future__ import annotations

import logging

log = logging.getLogger("inprocess")
