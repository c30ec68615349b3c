"""Figures as inline SVG: one module a figure, all in the page's own colours.

This package imports matplotlib, so import it late and inside `reports.caches.kept_in`.
"""

from __future__ import annotations

from reports.figures.age import age
from reports.figures.bills import eats, runs
from reports.figures.calls import calls
from reports.figures.canvas import Figure, drawing
from reports.figures.capacity import capacity, ramps
from reports.figures.cold import cold
from reports.figures.ecdf import ecdfs
from reports.figures.forest import forests
from reports.figures.hogs import hogs
from reports.figures.loads import loads
from reports.figures.own import own
from reports.figures.owners import owners
from reports.figures.percentiles import callers, responses
from reports.figures.phase import phase
from reports.figures.tax import host_tax

__all__ = [
    "Figure",
    "age",
    "callers",
    "calls",
    "capacity",
    "cold",
    "drawing",
    "eats",
    "ecdfs",
    "forests",
    "hogs",
    "host_tax",
    "loads",
    "own",
    "owners",
    "phase",
    "ramps",
    "responses",
    "runs",
]
