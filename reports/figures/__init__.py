"""Figures as inline SVG: one module a figure, all in the page's own colours.

This package imports matplotlib, so import it late and inside `reports.caches.kept_in`.
"""

from __future__ import annotations

from reports.figures.calls import calls
from reports.figures.canvas import Figure, drawing
from reports.figures.ecdf import ecdfs
from reports.figures.forest import forests
from reports.figures.phase import phase
from reports.figures.tax import host_tax

__all__ = ["Figure", "calls", "drawing", "ecdfs", "forests", "host_tax", "phase"]
