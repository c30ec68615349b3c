"""The card of a run: a picture of 1200 by 630 pixels for those who share the report by a link.

What belongs here: how the card is drawn. Not: what it says, which is the page's. Imports matplotlib, so
import it late.
"""

from __future__ import annotations

from reports.card.drawing import HEIGHT, WIDTH, png

__all__ = ["HEIGHT", "WIDTH", "png"]
