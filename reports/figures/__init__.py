"""Figures as inline SVG: one module a figure, all in the page's own colours.

This package imports matplotlib, so import it late and inside `reports.pages.matplotlib_cache.cache_in`.
"""

from __future__ import annotations

from reports.figures.canvas import Figure, drawing
from reports.figures.latency.call_costs import call_costs
from reports.figures.latency.ecdf import ecdfs
from reports.figures.latency.forest import forests
from reports.figures.latency.host_tax import host_tax
from reports.figures.latency.percentiles import callers, responses
from reports.figures.load.capacity import capacity, ramps
from reports.figures.load.cold_start import cold_starts
from reports.figures.load.cost import moving_parts, resource_usage
from reports.figures.load.cpu_hogs import hogs
from reports.figures.load.harness_share import harness_share
from reports.figures.load.loads import loads
from reports.figures.periodic.age import age
from reports.figures.periodic.owners import owners
from reports.figures.periodic.phase import phase

__all__ = [
    "Figure",
    "age",
    "call_costs",
    "callers",
    "capacity",
    "cold_starts",
    "drawing",
    "ecdfs",
    "forests",
    "harness_share",
    "hogs",
    "host_tax",
    "loads",
    "moving_parts",
    "owners",
    "phase",
    "ramps",
    "resource_usage",
    "responses",
]
