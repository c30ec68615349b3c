"""The summary of a run, for scripts (`summary.json`) and for comments on a change (`summary.md`)."""

from __future__ import annotations

from reports.summary.content import SUMMARY_VERSION, summary
from reports.summary.markdown import markdown
from reports.summary.plain import dumps

__all__ = ["SUMMARY_VERSION", "dumps", "markdown", "summary"]
