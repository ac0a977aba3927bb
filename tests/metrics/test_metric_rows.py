"""The benchmark of metrics: every row plays at a small size, and its peers agree with it."""

import sys

import pytest

from benchmarks import metrics
from benchmarks.metric_rows import OURS, Options, Outcome, contest, rows

TINY = Options(n=120, d=8, rounds=2)
pytestmark = pytest.mark.filterwarnings("ignore")  # of peers


@pytest.mark.parametrize("name", ["frechet", "frechet_few", "streaming", "kernel"])
def test_contestants_measure_the_same(name):
    outcome = rows()[name](TINY)
    assert OURS in outcome.seconds
    assert set(outcome.marks) == (set(outcome.seconds) | set(outcome.absent)) - {OURS}
    for taken in outcome.seconds.values():
        assert len(taken) == 2
    # peers draw subsets for the kernel distance: here each is the whole set, in float32
    for value in outcome.values.values():
        assert value == pytest.approx(outcome.values[OURS], rel=1e-3)


def test_turns_and_absence():
    order = []

    def player(name):
        def play(given):
            order.append((name, given))
            return 1.0

        return play

    def absent(given):
        raise ImportError("no such tool")

    players = {OURS: player(OURS), "gone": absent, "peer": player("peer")}
    outcome = contest(lambda turn, at: (turn, at.n), players, {"peer": 2.0, "gone": 1.0}, TINY)
    assert order == [
        (OURS, (2, 64)),
        ("peer", (2, 64)),  # both warm up on small data
        (OURS, (0, 120)),
        ("peer", (0, 120)),
        ("peer", (1, 120)),
        (OURS, (1, 120)),
    ]
    assert outcome.absent == {"gone": "no such tool"}


def test_ratios_are_judged_by_their_median():
    outcome = Outcome({OURS: [1.0, 2.0, 1.0], "peer": [3.0, 2.0, 4.0]}, {}, {"peer": 3.0})
    assert outcome.ratios("peer") == [3.0, 1.0, 4.0]
    assert outcome.met("peer")


def test_an_unknown_row_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metrics", "frechett"])
    with pytest.raises(SystemExit):
        metrics.main()
    assert "no row frechett (there are" in capsys.readouterr().err
