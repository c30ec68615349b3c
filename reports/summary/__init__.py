"""The summary of a run, for scripts (`summary.json`), comments on a change (`summary.md`) and terminals."""

from __future__ import annotations

from reports.summary.content import SUMMARY_VERSION, summary
from reports.summary.markdown import markdown
from reports.summary.plain import dumps
from reports.summary.terminal import terminal

__all__ = ["SUMMARY_VERSION", "dumps", "markdown", "summary", "terminal"]
