"""What the failure matrix is made of: cells, what a cell opens to, and the predictions that did not hold."""

from __future__ import annotations
