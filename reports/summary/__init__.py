"""A run in short, for those who do not open the report: scripts and comments under a change."""

from __future__ import annotations

from reports.summary.content import SUMMARY_VERSION, summary
from reports.summary.markdown import markdown
from reports.summary.plain import dumps

__all__ = ["SUMMARY_VERSION", "dumps", "markdown", "summary"]
