"""The page as text: whole, ordered, escaped, small, and there for every kind of run."""

import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
import report_scenario as scenario

from equipoise.errors import MissingExtraError, RecordError
from equipoise.recipe import load
from equipoise.record import Blob, Diagnosis, Finding, Trace, TraceWriter
from equipoise.report import page, write_report
from equipoise.report.recipes import changes, edit_text
from equipoise.report.words import PLAIN, human, number, p_value

LOGITS = ("mean", "std")
HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


class Reader(HTMLParser):
    """Tags with attributes, and the text outside scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self._inside = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside not in ("script", "style"):
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def nothing(**given):
    blank = {"title": "run", "trace": Trace(), "diagnosis": None, "recipe": None}
    return page.Subject(**{**blank, **given})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page") / "run"
    return scenario.everything(folder)


def test_the_page_is_small_and_alone(whole, tmp_path):
    path = write_report(tmp_path / "deep" / "report.html", **whole)
    assert path.stat().st_size < 8e6
    assert [p.name for p in path.parent.iterdir()] == ["report.html"]


def test_nothing_on_the_page_points_to_a_host(whole):
    tags = Reader(page.render(page.Subject(**whole))).tags
    addresses = [a[k] for _, a in tags for k in ("src", "href") if k in a]
    assert addresses
    assert all(address.startswith(("data:", "#")) for address in addresses)


def test_sections_stand_in_order_and_headings_skip_no_level(whole):
    tags = Reader(page.render(page.Subject(**whole))).tags
    sections = [a["id"] for tag, a in tags if tag == "section"]
    assert sections == ["verdict", "curves", "samples", "trial", "ledger", "recipe"]
    levels = [int(tag[1]) for tag, _ in tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
    assert all(a.get("alt") for tag, a in tags if tag == "img")
    assert all(a.get("aria-label") for _, a in tags if a.get("role") == "img")


def test_the_page_says_verdict_failure_evidence_remedies_trial_and_recipe(whole):
    text = Reader(page.render(page.Subject(**whole))).text
    for said in (
        "Sick Discriminator dominance since step 600.",
        PLAIN["discriminator_dominance"],
        "confidence 93 %",
        "0.55 to 0.95 in well run games",
        "Slow the discriminator down can be changed while it runs",
        "optimizer.discriminator.lr: 0.0002 # now 0.002",
        "group['lr'] = 2e-4",
        "Looks wrong, is normal",
        "whether the discriminator overfits",
        "No curve in the trace for sigma/discriminator/0.",
        "Keep the change The whole interval lies above",
        "95 % interval 1.73 to 2.99, p = 0.0039, 8 paired seeds",
        "Changed from the preset “digits”",
        "family: dcgan",
        "python 3.11",
    ):
        assert said in text


def test_text_from_outside_is_escaped_wherever_it_stands(tmp_path):
    recipe = load("ring").edit({"name": HOSTILE, "description": HOSTILE})
    base = scenario.diagnosis()
    fact = replace(base.findings[0].evidence[0], signal=HOSTILE, expected=HOSTILE)
    finding = Finding(HOSTILE, 0.5, 1, HOSTILE, (fact,), base.findings[0].remedies)
    row = replace(scenario.trial(), arm=HOSTILE, metric=HOSTILE, reason=HOSTILE, edit={HOSTILE: 1})
    trace = Trace.from_columns(
        [1, 2],
        {HOSTILE: [1, 2], f"loss/{HOSTILE}": [1, 2], f"metric/{HOSTILE}": [1, 2]},
        {"objective": HOSTILE},
        {"environment": {HOSTILE: [HOSTILE]}},
    )
    trace = replace(trace, blobs=(Blob(1, "samples/fixed", HOSTILE),))
    judged = Diagnosis("sick", (finding,), (), {HOSTILE: HOSTILE})
    text = page.render(page.Subject(HOSTILE, trace, judged, recipe, [row], [row], load("ring")))
    assert "<img src=x" not in text
    assert "<script>alert" not in text
    tags = Reader(text).tags
    assert not [a for tag, a in tags if tag == "img" and a.get("src") == "x"]
    assert Reader(text).text.count(HOSTILE) > 5


def test_letters_that_utf8_cannot_hold_do_not_stop_the_page(tmp_path):
    trace = Trace.from_columns([1], {"loss/\ud800": [1.0]})
    path = write_report(
        tmp_path / "r.html", title="\udfff", trace=trace, diagnosis=None, recipe=None
    )
    assert "<title>?" in path.read_text(encoding="utf-8")


def test_an_empty_trace_makes_a_page_that_says_so():
    text = Reader(page.render(nothing())).text
    for said in ("Not judged", "holds no readings", "no samples", "No trial", "ledger is empty"):
        assert said in text
    assert "This run has no recipe" in text


@pytest.mark.parametrize(
    ("diagnosis", "said"),
    [
        (Diagnosis("healthy", steps=(0, 4000)), "Nothing wrong was found from step 0 to 4,000."),
        (Diagnosis("inconclusive", missing={"x": "y"}), "do not suffice for a verdict"),
        (Diagnosis("sick", (Finding("my_own_rule", 1.0, 3, "Odd."),)), "My own rule since step 3."),
    ],
)
def test_every_verdict_has_its_sentence(diagnosis, said):
    assert said in Reader(page.render(nothing(diagnosis=diagnosis))).text


def test_a_foreign_log_of_nothing_finite_still_renders():
    columns = {"loss/generator": [np.nan] * 3, "lr": [np.inf, -np.inf, np.nan], "x": [1, 2, 3]}
    text = Reader(page.render(nothing(trace=Trace.from_columns([5, 6, 7], columns)))).text
    assert "last step 7" in text
    assert "More signals (2)" in text


def test_files_that_cannot_be_shown_are_said_in_a_visible_line(tmp_path):
    with TraceWriter(tmp_path) as writer:
        writer.blob(1, "samples/fixed", "../outside.npy")
        writer.blob(2, "interpolation", "gone.npy")
    text = Reader(page.render(nothing(trace=Trace.read(tmp_path)))).text
    assert "samples/fixed at step 1 (../outside.npy): the path leaves the run's folder" in text
    assert "interpolation at step 2 (gone.npy): the file is missing" in text


def test_the_page_of_a_long_run_of_large_colour_images_stays_small(tmp_path):
    rng = np.random.default_rng(0)
    with TraceWriter(tmp_path) as writer:
        for i in range(50):
            np.save(tmp_path / f"{i}.npy", rng.integers(0, 256, (64, 3, 64, 64), np.uint8))
            writer.blob(i, "samples/fixed", f"{i}.npy")
        np.save(tmp_path / "rows.npy", rng.integers(0, 256, (8, 12, 3, 64, 64), np.uint8))
        for i in range(50):
            writer.blob(i, "interpolation", "rows.npy")
        writer.blob(0, "samples/real", "0.npy")
    columns = {f"signal{k}/{p}": rng.random(5_000) for k in range(24) for p in ("real", "fake")}
    columns |= {f"{s}/{k}": rng.random(5_000) for s in ("loss", "metric") for k in range(40)}
    columns |= {f"logits/{k}/{s}": rng.random(5_000) for k in ("real", "fake") for s in LOGITS}
    signals = Trace.from_columns(range(5_000), columns).signals
    trace = replace(Trace.read(tmp_path), signals=signals)
    run = {"diagnosis": scenario.diagnosis(), "ledger": [scenario.trial()] * 400}
    assert len(page.render(nothing(trace=trace, **run)).encode()) < 8e6


def test_few_signals_are_left_whole_and_many_keep_their_spikes():
    values = np.ones(3_000)
    values[1_234] = 7.0
    few = Trace.from_columns(range(3_000), {"a": values})
    assert page.lean(few).series("a") is few.series("a")
    many = Trace.from_columns(range(3_000), {f"s/{i}": values for i in range(150)})
    lean = page.lean(many).series("s/7")
    assert len(lean) <= 400
    assert lean.steps[lean.values.argmax()] == 1_234


def test_a_ledger_of_thousands_shows_the_newest(whole):
    rows = [scenario.trial(created=f"{2000 + i}-01-01") for i in range(320)]
    text = Reader(page.render(nothing(ledger=rows))).text
    assert "20 older rows are not shown" in text
    assert "2319-01-01" in text
    assert "2019-01-01" not in text


def test_a_trial_in_which_no_pair_ended_still_has_its_place():
    nan = float("nan")
    none = {"seeds": (), "baseline_values": (), "arm_values": (), "improvement": nan}
    row = replace(scenario.trial(), **none, interval=(nan, nan), p_value=nan)
    text = Reader(page.render(nothing(trials=[row], ledger=[row]))).text
    assert "could be computed from 0 paired seeds" in text


def test_a_place_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(RecordError, match="cannot write"):
        write_report(tmp_path, title="x", trace=Trace(), diagnosis=None, recipe=None)


def test_a_missing_extra_names_the_command_that_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'equipoise\[report\]'"):
        page.render(nothing())


def test_importing_the_room_is_light():
    code = (
        "import sys, equipoise.report;"
        "print([m for m in ('torch', 'plotly', 'jinja2', 'PIL') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_changes_from_a_preset_name_both_values_and_what_is_gone():
    preset = load("ring")
    recipe = preset.edit({"name": "mine", "batch": 32, "penalties": {"r1": {"gamma": 0.1}}})
    found = {c.path: (c.before, c.after) for c in changes(preset, recipe)}
    assert found["batch"] == ("128", "32")
    assert found["penalties.r2"][1] == "removed"
    assert "name" not in found
    assert changes(preset, preset) == []


def test_an_edit_is_yaml_with_the_value_of_today_behind():
    edit = {"penalties.r1.gamma": 1.0, "ema.half_life_kimg": None, "data.new": [1, "a"]}
    assert edit_text(edit, load("ring")).splitlines() == [
        "penalties.r1.gamma: 1   # now 0.1",
        "ema.half_life_kimg: null   # now 44",
        "data.new: [1, a]",
    ]
    assert edit_text({"x": 2}, None) == "x: 2"


def test_words_for_numbers():
    given = [0.123456, 12345.0, float("nan"), float("inf"), float("-inf"), 3e-9, -0.5]
    said = ["0.1235", "12,345", "not a number", "infinite", "minus infinite", "3e-09", "-0.5"]
    assert [number(value) for value in given] == said
    assert [p_value(v) for v in (0.0312, 1e-5, float("nan"))] == [
        "p = 0.031",
        "p < 0.001",
        "p not defined",
    ]
    assert human("discriminator_dominance") == "Discriminator dominance"


@pytest.mark.parametrize("failure", sorted(PLAIN))
def test_plain_words_are_one_sentence_without_the_trades_terms(failure):
    sentence = PLAIN[failure]
    assert sentence.endswith(".")
    assert sentence[0].isupper()
    assert len(sentence.split()) <= 30
    assert not re.search(r"logit|lipschitz|AUC|R1|Nash|saddle|_", sentence, re.IGNORECASE)
