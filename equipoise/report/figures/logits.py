"""What the discriminator says of reals and of fakes, with the spread over the batch."""

from __future__ import annotations

from equipoise.record import Trace
from equipoise.report.chart import Chart, chart, line
from equipoise.report.colours import OTHERS, ROLES
from equipoise.report.drawing import draw_chart as draw

CAPTION = (
    "The discriminator's output, batch mean; the band is one standard deviation each way."
    " Bands that part mean that it tells real from fake."
)
LINES = {"real": ROLES["real"], "fake": ROLES["fake"], "held_out": OTHERS[1]}
SHOWS = tuple(f"logits/{kind}/{part}" for kind in LINES for part in ("mean", "std"))


def data(trace: Trace, onset: int | None = None) -> tuple[Chart, ...]:
    """`logits/real`, `logits/fake` and `logits/held_out`: mean, and band of one deviation."""
    lines = (
        line(
            kind.replace("_", " "),
            trace.series(f"logits/{kind}/mean"),
            colour,
            trace.signals.get(f"logits/{kind}/std"),
        )
        for kind, colour in LINES.items()
    )
    return chart("Logits", CAPTION, lines, onset=onset)


__all__ = ["SHOWS", "data", "draw"]
