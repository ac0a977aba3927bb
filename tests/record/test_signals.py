"""The catalogue of signals: complete entries, unique names, players' names looked up."""

import pytest

from equipoise.record import SIGNALS, describe
from equipoise.record.signals import _SIGNALS


def test_every_name_is_unique():
    assert len(SIGNALS) == len(_SIGNALS)


@pytest.mark.parametrize("signal", _SIGNALS, ids=lambda s: s.name)
def test_every_entry_says_what_it_is(signal):
    assert signal.name == signal.name.strip()
    assert signal.meaning.strip()
    assert signal.unit.strip()
    assert signal.measured.strip()
    assert signal.source.strip()
    assert signal.tier in {"free", "cheap", "probe", "evaluation"}
    assert describe(signal.name) is signal


@pytest.mark.parametrize("signal", [s for s in _SIGNALS if s.name.startswith("metric/")])
def test_every_metric_has_a_direction(signal):
    assert signal.better in {"lower", "higher"}


@pytest.mark.parametrize("player", ["generator", "discriminator", "critic_2", "fake/score"])
def test_players_are_looked_up_under_their_entry(player):
    templates = [name for name in SIGNALS if name.endswith("/<player>")]
    assert templates
    for name in templates:
        assert describe(name.replace("<player>", player)) is SIGNALS[name]


@pytest.mark.parametrize("template", ["penalty/<name>", "control/<name>"])
def test_parts_of_a_run_are_looked_up_under_their_entry(template):
    assert describe(template.replace("<name>", "augmentation/p")) is SIGNALS[template]


@pytest.mark.parametrize(
    "name", ["", "loss", "loss/", "unknown", "metric/unknown", "logits/real/x"]
)
def test_other_names_have_no_entry(name):
    assert describe(name) is None
