"""The colours of the sides, as people with each kind of colour-blindness see them."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.schema import SIDES

Vector = NDArray[np.float64]
CSS = Path(__file__).parents[3] / "reports" / "templates" / "styles" / "base.css"
#: What is left of linear RGB (Machado, Oliveira and Fernandes 2009, severity 1).
SIGHT = {
    "all": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
#: Distance of two colours in Oklab, of 100 from black to white, that a line or a mark needs.
APART = 4.5
#: Contrast with the paper that graphics need (WCAG 1.4.11).
CONTRAST = 3.0


def linear(colour: str) -> Vector:
    channels = np.array([int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)])
    return np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def oklab(light: Vector) -> Vector:
    to_cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    to_lab = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    found: Vector = to_lab @ np.cbrt(to_cones @ np.clip(light, 0, 1))
    return found


def colours(theme: int) -> dict[str, str]:
    """Each variable of the style sheet, in the light theme (0) or the dark one (1)."""
    found = re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", CSS.read_text())
    return {name: both[theme] for name, *both in found}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_any_two_sides_are_told_apart_by_colour(sight: str, theme: int) -> None:
    known = colours(theme)
    seen = {
        side: oklab(SIGHT[sight] @ linear(known[f"side-{side}"])) for side in SIDES if side != "celery-app"
    }
    near = {
        (one, other): distance
        for one, other in itertools.combinations(seen, 2)
        if (distance := 100 * float(np.linalg.norm(seen[one] - seen[other]))) < APART
    }
    assert near == {}


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_each_side_stands_out_from_the_paper(theme: int) -> None:
    known = colours(theme)
    shares = np.array([0.2126, 0.7152, 0.0722])
    for side in SIDES:
        darker, lighter = sorted(float(shares @ linear(known[name])) for name in (f"side-{side}", "paper"))
        assert (lighter + 0.05) / (darker + 0.05) >= CONTRAST, side
