"""What the service takes."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Order(BaseModel):
    """An order as a client sends it."""

    number: int = Field(gt=0)
    email: str
    lines: list[str] = []
