"""The card of a run: a picture of 1200 × 630 pixels for those who share the report by a link.

What belongs here: the card's drawing. Not: what it says, which is the page's. Imports matplotlib: import it late.
"""

from __future__ import annotations

from reports.card.drawing import HEIGHT, WIDTH, png

__all__ = ["HEIGHT", "WIDTH", "png"]
