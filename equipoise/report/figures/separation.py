"""How well the discriminator tells real from fake, on scales that no shift of the logits moves."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, line
from equipoise.report.colours import OTHERS, ROLES
from equipoise.report.drawing import draw_chart as draw

CAPTION = (
    "0.5: the discriminator guesses. 1: it is always right, and the generator learns little."
    " Well run games stay between."
)
LINES = {
    "auc/discriminator": ("AUC", ROLES["discriminator"]),
    "accuracy/discriminator": ("accuracy", OTHERS[2]),
}
SHOWS = tuple(LINES)


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """AUC and accuracy of the discriminator, both in [0, 1], chance marked."""
    lines = (line(label, trace.series(name), c) for name, (label, c) in LINES.items())
    chance = [(0.5, "chance")]
    return chart("Telling real from fake", CAPTION, lines, references=chance, onset=onset)


__all__ = ["SHOWS", "data", "draw"]
