# ruff: noqa: E501 - one case, one line
"""One table for the rules that judge the wiring audit's facts: sick, well, too short."""

import copy
import json

import pytest

from equipoise.clinic import RULES, diagnose
from equipoise.clinic.rules import EXACT
from equipoise.record import Trace, TraceWriter

FAR = 1e6
STATE = {"since": 3, "until": 5, "iterations": 3, "updates": {}, "over": True, "unseen": []}
IMAGE = {"lowest": -1.0, "highest": 1.0, "mean": 0.0, "std": 0.6, "beyond_1": 0.0, "below_0": 0.5}
EARLY = IMAGE | {"lowest": -0.2, "highest": 0.3, "std": 0.1, "below_0": 0.4}


def trace(**facts):
    """A trace of nothing but an audit."""
    return Trace(facts={"audit": STATE} | {f"audit/{name}": told for name, told in facts.items()})


def leak(check, **told):
    names = {"player": "generator", "other": "discriminator", "other_role": "discriminator"}
    places = {"where": "loop.py:9", "backward": "loop.py:7", "call": "loop.py:5", "count": 2}
    return {"check": check} | names | places | told


def pulls(real=None, fake=None, generator=None, squashed=False, coherence=1.0, spread=0.0):
    """Facts of two updates from (logit, target) of each group."""
    groups = (("discriminator", "real", real), ("discriminator", "fake", fake))
    groups += (("generator", "fake", generator),)
    return [
        {"player": player, "kind": kind, "logit": pair[0] + shift, "target": pair[1]}
        | {"coherence": coherence, "squashed": squashed, "where": "loop.py:4"}
        for player, kind, pair in groups
        if pair is not None
        for shift in (-spread, spread)
    ]


def samples(activation, real=IMAGE, fake=EARLY):
    return {"activation": activation, "real": real, "fake": fake}


def fed(discriminator, generator):
    return {"layers": 2, "fed": {"discriminator": discriminator, "generator": generator}}


def half(*zeros, dtype="float16"):
    return [{"dtype": dtype, "zeros": z, "where": "loop.py:8"} for z in zeros]


def stuck(check):
    return [{"check": check, "player": "generator", "where": "loop.py:9"}]


BYTES = IMAGE | {"lowest": 0.0, "highest": 255.0, "beyond_1": 0.99, "below_0": 0.0}
UNIT = IMAGE | {"lowest": 0.0, "below_0": 0.0}
# Closed forms at logit a: cross-entropy has the targets a + 1 / s(a) and a - 1 / s(-a), 2 away at
# 0; least squares has its labels; a linear loss has none.
BCE = {"real": (0.0, 2.0), "fake": (0.0, -2.0), "generator": (0.0, 2.0)}
SQUARES = {"real": (0.1, 1.0), "fake": (-0.1, 0.0), "generator": (-0.1, 1.0)}
LINEAR = {"real": (0.1, FAR), "fake": (0.0, -FAR), "generator": (0.0, FAR)}

SICK = [
    ("gradient_leak", "missing-detach", trace(leaks=[leak("foreign")]), "loop.py:5"),
    ("gradient_leak", "left-by-the-generator", trace(leaks=[leak("foreign", player="discriminator", other="generator", other_role="generator")]), "loop.py:7"),
    ("gradient_leak", "stale", trace(leaks=[leak("stale")]), "loop.py:9"),
    ("gradient_leak", "wrong-parameters", trace(leaks=[leak("stale"), leak("parameters")]), "2 parameters"),
    ("gradient_leak", "line-unknown", trace(leaks=[leak("foreign", where="", backward="", call="")]), "detach the fakes"),
    ("no_gradient_to_generator", "none", trace(starved=[{"check": "none", "player": "generator", "where": "loop.py:9", "call": "loop.py:8"}]), "loop.py:8"),
    ("no_gradient_to_generator", "cut", trace(starved=[{"check": "cut", "player": "generator", "where": "loop.py:9", "call": "loop.py:8"}]), "adversarial term"),
    ("swapped_labels", "discriminator", trace(pulls=pulls((0.0, -2.0), (0.0, 2.0), (0.0, 2.0))), "discriminator is trained the wrong way"),
    ("swapped_labels", "generator", trace(pulls=pulls(**BCE | {"generator": (0.0, -2.0)})), "generator is trained the wrong way"),
    ("swapped_labels", "generator-linear", trace(pulls=pulls(**LINEAR | {"generator": (0.0, -FAR)})), "generator is trained the wrong way"),
    ("swapped_labels", "generator-least-squares", trace(pulls=pulls(**SQUARES | {"generator": (-0.01, 0.0)}, spread=0.05)), "generator is trained the wrong way"),
    ("swapped_labels", "discriminator-after-long", trace(pulls=pulls((-6.0, -7.0), (6.0, 7.0), (6.0, 7.0))), "discriminator is trained the wrong way"),
    ("swapped_labels", "all-real", trace(pulls=pulls(**BCE | {"fake": (0.0, 2.0)})), "fake term"),
    ("swapped_labels", "all-fake", trace(pulls=pulls(**BCE | {"real": (0.0, -2.0)})), "real term"),
    ("swapped_labels", "all-fake-least-squares", trace(pulls=pulls((0.1, 0.0), (-0.1, 0.0), (0.0, 1.0), spread=0.2)), "real term"),
    ("swapped_labels", "sigmoid-twice", trace(pulls=pulls((0.5, 2.1), (0.5, -2.1), (0.5, 2.1), squashed=True)), "drop the sigmoid"),
    ("swapped_labels", "broadcast", trace(shapes=[{"loss": "d", "shape": [16, 16]}]), "(16, 1) with (16,)"),
    ("data_range_mismatch", "bytes-and-tanh", trace(range=samples("tanh", BYTES)), "[0, 255]"),
    ("data_range_mismatch", "signed-and-sigmoid", trace(range=samples("sigmoid")), "[0, 1]"),
    ("data_range_mismatch", "unit-and-tanh", trace(range=samples("tanh", UNIT)), "2 x - 1"),
    ("data_range_mismatch", "bytes-and-no-bound", trace(range=samples(None, BYTES)), "[0, 255]"),
    ("batch_norm_leak", "mixed-in-one-step", trace(batch_norm=fed({"real and fake": "loop.py:3"}, {"fake": "loop.py:8"})), "loop.py:3"),
    ("precision_underflow", "float16-unscaled", trace(precision=half(0.9, 0.6)), "60% of the gradient"),
    ("precision_underflow", "rounded-updates", trace(stuck=stuck("rounded")), "lost in rounding"),
    ("stalled_player", "never-stepped", trace(stuck=stuck("never_stepped")), "never steps"),
    ("stalled_player", "dead-rate", trace(stuck=stuck("dead_rate")), "learning rate is 0 (loop.py:9)"),
    ("stalled_player", "frozen", trace(stuck=stuck("frozen")), "requires_grad_(True)"),
    ("stalled_player", "erased", trace(stuck=stuck("erased")), "zero_grad()"),
    ("stalled_player", "no-gradient", trace(stuck=stuck("no_gradient")), "backward()"),
    ("stalled_player", "unmoved", trace(stuck=stuck("unmoved")), "change no weight"),
]  # fmt: skip

RELATIVISTIC_PAST_ITS_MARGIN = {"real": (3.0, 1.0), "fake": (0.0, 2.0), "generator": (0.0, 4.0)}
WELL = [
    *[(rule, "clean-audit", trace(pulls=pulls(**BCE), range=samples("tanh"))) for rule in RULES],
    ("gradient_leak", "check-of-a-later-version", trace(leaks=[leak("unheard_of")])),
    ("gradient_leak", "junk", trace(leaks=["text", 3])),
    ("no_gradient_to_generator", "frozen-instead", trace(stuck=stuck("frozen"))),
    ("swapped_labels", "least-squares", trace(pulls=pulls(**SQUARES, spread=0.3))),
    ("swapped_labels", "least-squares-past-its-labels", trace(pulls=pulls((1.2, 1.0), (-0.2, 0.0), (1.2, 1.0)))),
    ("swapped_labels", "linear", trace(pulls=pulls(**LINEAR))),
    ("swapped_labels", "all-three-turned", trace(pulls=pulls((0.1, -FAR), (0.0, FAR), (0.0, -FAR)))),
    ("swapped_labels", "relativistic-past-its-margin", trace(pulls=pulls(**RELATIVISTIC_PAST_ITS_MARGIN))),
    ("swapped_labels", "mixed-losses", trace(pulls=pulls((0.0, 1.0), (0.0, -3.0), (0.0, FAR)))),
    ("swapped_labels", "far-apart-logits", trace(pulls=pulls((60.0, 61.0), (0.0, -2.0), (0.0, 2.0)))),
    ("swapped_labels", "hinge-half-satisfied", trace(pulls=pulls((0.5, FAR), (-0.5, -1.2), (-0.5, FAR)))),
    ("swapped_labels", "updates-disagree", trace(pulls=pulls(**BCE | {"generator": (0.0, -2.0)}) + pulls(generator=(0.0, 2.0)))),
    ("swapped_labels", "incoherent", trace(pulls=pulls(**BCE | {"generator": (0.0, -1.0)}, coherence=0.3))),
    ("swapped_labels", "no-generator-seen", trace(pulls=pulls((0.0, -2.0), (0.0, 2.0)))),
    ("swapped_labels", "probabilities-in-their-own-loss", trace(pulls=pulls((0.5, 1.0), (0.5, 0.0), (0.5, FAR), squashed=True))),
    ("data_range_mismatch", "early-training", trace(range=samples(None))),
    ("data_range_mismatch", "overshoot-of-resizing", trace(range=samples("tanh", IMAGE | {"highest": 1.3, "beyond_1": 0.002}))),
    ("data_range_mismatch", "unit-and-sigmoid", trace(range=samples("sigmoid", UNIT, UNIT))),
    ("data_range_mismatch", "toy-of-spread-4", trace(range=samples(None, IMAGE | {"highest": 4.2, "beyond_1": 0.6}))),
    ("batch_norm_leak", "batches-apart", trace(batch_norm=fed({"real": "", "fake": ""}, {"fake": ""}))),
    ("batch_norm_leak", "mixed-in-both", trace(batch_norm=fed({"real and fake": ""}, {"real and fake": ""}))),
    ("batch_norm_leak", "generator-unseen", trace(batch_norm=fed({"real and fake": ""}, {}))),
    ("precision_underflow", "bfloat16", trace(precision=half(0.9, 0.9, dtype="bfloat16"))),
    ("precision_underflow", "full-precision", trace(precision=half(1.0, dtype="float32"))),
    ("precision_underflow", "one-update-of-two", trace(precision=half(0.9, 0.1))),
    ("precision_underflow", "dead-rate-instead", trace(stuck=stuck("dead_rate"))),
    ("stalled_player", "rounded-instead", trace(stuck=stuck("rounded"))),
]  # fmt: skip

JUDGED = sorted({case[0] for case in SICK})
SHORT = [
    *[(rule, "no-audit", Trace()) for rule in JUDGED],
    *[(rule, "nothing-seen-yet", trace()) for rule in JUDGED],
    ("swapped_labels", "one-side", trace(pulls=pulls(real=(0.0, -2.0)))),
]


def ids(cases):
    return [f"{case[0]}-{case[1]}" for case in cases]


@pytest.mark.parametrize(("rule", "name", "given", "words"), SICK, ids=ids(SICK))
def test_the_rule_sees_it_and_says_what_to_change(rule, name, given, words):
    finding = RULES[rule](given)
    assert finding is not None
    assert finding.failure == rule
    assert words in finding.summary
    assert finding.since == STATE["since"]
    assert 0.8 <= finding.confidence <= 1
    (evidence,) = finding.evidence
    assert evidence.signal in given.facts
    assert evidence.window == (3, 5)
    assert evidence.expected
    assert diagnose(given).verdict == "sick"


@pytest.mark.parametrize(("rule", "name", "given"), WELL, ids=ids(WELL))
def test_the_rule_keeps_quiet(rule, name, given):
    assert RULES[rule](given) is None


@pytest.mark.parametrize(("rule", "name", "given"), SHORT, ids=ids(SHORT))
def test_too_short_says_nothing(rule, name, given):
    assert RULES[rule](given) is None


@pytest.mark.parametrize(("rule", "name", "given", "words"), SICK, ids=ids(SICK))
def test_no_other_rule_takes_it_for_its_own(rule, name, given, words):
    assert {f.failure for f in diagnose(given).findings} == {rule}


@pytest.mark.parametrize(("rule", "name", "given", "words"), SICK, ids=ids(SICK))
def test_a_trace_on_disk_is_judged_alike_and_left_alone(rule, name, given, words, tmp_path):
    before = copy.deepcopy(given.facts)
    with TraceWriter(tmp_path) as writer:
        writer.header(name="audited")
        for fact, value in given.facts.items():
            writer.fact(fact, value)
    assert RULES[rule](Trace.read(tmp_path)) == RULES[rule](given)
    assert json.dumps(given.facts) == json.dumps(before)


def test_exact_wiring_findings_veto_what_would_follow_from_them():
    assert {"gradient_leak", "no_gradient_to_generator", "swapped_labels"} <= EXACT
    assert "data_range_mismatch" in EXACT
    order = list(RULES)
    assert all(order.index(name) < len(EXACT) for name in EXACT)
