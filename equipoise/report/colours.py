"""The palette of Okabe and Ito (2008): told apart by colour-blind eyes, on white and on black.

Each role keeps its colour in every figure. Yellow is left out: it is invisible on white.
"""

from __future__ import annotations

ROLES = {
    "real": "#009E73",
    "fake": "#D55E00",
    "discriminator": "#0072B2",
    "generator": "#CC79A7",
}
GREY = "#868E96"  # marks and references: 3:1 or better against both backgrounds
INK = "#868E97"  # stands for the page's text colour, black or white, which replaces it
OTHERS = (INK, "#56B4E9", "#E69F00")
DASHES = ("solid", "dash", "dot")


def role_of(name: str) -> str | None:
    """The role that a signal's name speaks of: one of its parts between slashes, else None."""
    return next((part for part in name.split("/") if part in ROLES), None)


def colour(name: str, position: int = 0) -> str:
    """The colour of a signal: its role's, else that of `position` among those without a role."""
    role = role_of(name)
    return ROLES[role] if role else OTHERS[position % len(OTHERS)]


def dash(name: str, position: int = 0) -> str:
    """The dash of a line: once the colours without a role are used up, they come again dashed."""
    return DASHES[0 if role_of(name) else position // len(OTHERS) % len(DASHES)]


def transparent(colour: str, alpha: float) -> str:
    """`#RRGGBB` as `rgba(...)` with opacity `alpha` in [0, 1]."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"
