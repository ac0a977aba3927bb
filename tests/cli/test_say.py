"""A diagnosis in words: the first finding in full, later ones without repetition."""

import io
import re
import shlex

import pytest
from rich.console import Console

from equipoise.cli.say import diagnosis_markdown, edit_text, say_diagnosis, say_next
from equipoise.clinic import diagnose, prescribe
from equipoise.recipe import load, parse_settings
from equipoise.record import Diagnosis, Evidence, Finding, Note, Prescription, Trace

SICK_RECIPE = load("digits-sick")


def finding(failure, *evidence, remedies=()):
    return Finding(failure, 0.9, 40, f"This is {failure}.", evidence, remedies)


DOMINANCE = finding(
    "discriminator_dominance",
    Evidence(
        "metric/precision_digits_cnn", 0.9987654, "below 0.99 in a game that teaches", (5, 90)
    ),
    Evidence("logits/gap", 8.0, "below 4 [spreads]", (5, 90), "slope | 1,000 steps"),
    remedies=prescribe("discriminator_dominance", SICK_RECIPE.to_dict()),
)
COLLAPSE = finding("mode_collapse", remedies=prescribe("mode_collapse", SICK_RECIPE.to_dict()))
SICK = Diagnosis("sick", (DOMINANCE, COLLAPSE), steps=(5, 90))


def said(diagnosis, width=80):
    page = io.StringIO()
    say_diagnosis(Console(width=width, file=page), diagnosis)
    return page.getvalue()


def test_the_first_finding_tells_its_remedies_in_full():
    text = said(SICK)
    assert text.startswith("SICK  2 findings in steps 5 to 90\n")
    assert "1. discriminator_dominance  since step 40, confidence 90%" in text
    first = DOMINANCE.remedies[0]
    assert f"1. {first.remedy}: " in text
    assert "--set penalties.r1.gamma=0.3 --set penalties.r2.gamma=0.3" in text
    assert "Caution: " in text


def test_nothing_is_said_twice():
    text = said(SICK)
    both = {r.remedy for r in DOMINANCE.remedies} & {r.remedy for r in COLLAPSE.remedies}
    assert both
    for remedy in both:
        assert len(re.findall(rf"(?<![\w-]){remedy}(?![\w-])", text)) == 1
    assert "Treated by remedies above, and" in text
    assert "- relativistic-objective: Score pairs of real and fake (RpGAN)" in text


def test_a_second_finding_with_the_same_cure_says_so():
    same = finding("mode_collapse", remedies=DOMINANCE.remedies[:2])
    text = said(Diagnosis("sick", (DOMINANCE, same)))
    assert text.rstrip().endswith("Treated by remedies above")


def test_remedies_come_with_the_first_finding_that_has_any():
    text = said(Diagnosis("sick", (finding("broken_metric"), COLLAPSE)))
    assert f"1. {COLLAPSE.remedies[0].remedy}: " in text


@pytest.mark.parametrize("width", [80, 120])
def test_lines_fit_and_commands_stay_whole(width):
    lines = said(SICK, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert sum("metric/precision_digits_cnn" in line for line in lines) == 1
    assert "      --set penalties.r1.gamma=0.3 --set penalties.r2.gamma=0.3" in lines


def test_a_statistic_other_than_the_median_is_named_and_markup_is_text():
    text = " ".join(said(SICK, 120).split())
    assert "8 (slope | 1,000 steps)" in text
    assert "below 4 [spreads]" in text
    assert "0.9988 below" in text


def test_without_a_recipe_the_change_is_code():
    foreign = finding("discriminator_dominance", remedies=prescribe("discriminator_dominance"))
    text = said(Diagnosis("sick", (foreign,)))
    assert "torch.autograd.grad" in text
    assert "--set" not in text


def test_what_was_not_logged_is_told_where_it_matters():
    missing = {f"signal/{n}": f"whether {n} happens" for n in range(6)}
    undecided = said(Diagnosis("inconclusive", missing=missing, steps=(0, 9)))
    assert undecided.startswith("INCONCLUSIVE  too little was logged to judge steps 0 to 9")
    assert undecided.count("would show") == 4
    assert "... and 2 more signals (--json lists them)" in undecided
    well = said(Diagnosis("healthy", missing=missing, steps=(0, 9)))
    assert well.startswith("HEALTHY  nothing wrong found in steps 0 to 9")
    assert well.count("whether") == 2
    assert "Not logged" not in said(Diagnosis("sick", (DOMINANCE,), missing=missing))


def test_notes_are_said():
    note = Note("loss_at_chance", "The loss is near chance.", "At the optimum it is there.")
    text = said(Diagnosis("healthy", notes=(note,)))
    assert "Normal: The loss is near chance. At the optimum it is there." in text


def test_what_comes_next_can_be_typed(tmp_path, capsys):
    folder = tmp_path / "my run"
    say_next(Console(width=30), folder, SICK)
    prove, look = capsys.readouterr().out.strip().splitlines()
    typed = ["equipoise", "trial", str(folder), "--arm", "gradient-penalty"]
    assert shlex.split(prove.partition(":")[2]) == typed
    assert shlex.split(look.partition(":")[2]) == ["equipoise", "report", str(folder)]


EDITS = [
    {"penalties.r1.gamma": 0.3, "penalties.r2.gamma": 10.0},
    {"ema.half_life_kimg": None, "data.augment.flip": True},
    {"evaluation.metrics": ["digits_cnn", "pixels"], "optimizer.generator.lr": 5e-5},
]


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_can_be_typed_back(edit):
    words = shlex.split(edit_text(edit))
    assert words[0::2] == ["--set"] * len(edit)
    typed = SICK_RECIPE.edit(parse_settings(words[1::2]))
    assert typed == SICK_RECIPE.edit(edit)


def test_markdown_escapes_bars_and_repeats_no_remedy():
    text = diagnosis_markdown(SICK)
    assert "8 (slope \\| 1,000 steps)" in text
    remedies = {r.remedy for f in SICK.findings for r in f.remedies}
    assert all(text.count(f"**{name}**") == 1 for name in remedies)
    code = Prescription("x", "Do this", "because", code="a = 1\nb = 2")
    shown = diagnosis_markdown(Diagnosis("sick", (finding("oscillation", remedies=(code,)),)))
    assert "   ```python\n   a = 1\n   b = 2\n   ```" in shown


def test_an_empty_trace_is_told_without_a_verdict():
    assert said(diagnose(Trace())).startswith("INCONCLUSIVE")
