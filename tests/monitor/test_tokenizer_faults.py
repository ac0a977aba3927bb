"""The tokenizer of the fault library: what it plays, that it is watched, how it is scored."""

from dataclasses import replace

import pytest
import torch

from benchmarks.faults import tokenizer
from benchmarks.faults.tokenizer import CONFIGURATIONS, FAULTS, Settings, library, run
from equipoise.clinic import FAILURES
from equipoise.record import Trace

SHORT = {"steps": 40, "start": 10, "batch": 8, "width": 4}


@pytest.fixture(autouse=True)
def _few_evaluations(monkeypatch):
    monkeypatch.setattr(tokenizer, "EVALUATIONS", 2)


def short(**edit):
    settings = replace(Settings(), **SHORT | edit)
    return run(settings, seed=0)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=lambda f: f.name)
def test_every_fault_has_three_severities_and_at_most_two_right_names(fault):
    assert len(fault.edits) == 3
    assert 1 <= len(fault.right) <= 2
    assert set(fault.right) <= set(FAILURES)
    for edit in fault.edits:
        assert replace(Settings(), **edit) != Settings()


def test_the_library_holds_each_fault_three_times_and_each_healthy_configuration():
    assert len(library()) == 3 * len(FAULTS) + len(CONFIGURATIONS)
    assert len({case.name for case in library()}) == len(library())


def test_the_shapes_are_images_that_a_seed_decides():
    images = tokenizer.shapes(8, 3)
    assert images.shape == (8, 1, 16, 16)
    assert float(images.abs().max()) <= 1
    assert torch.equal(images, tokenizer.shapes(8, 3))
    assert not torch.equal(images, tokenizer.shapes(8, 4))


def test_a_run_is_watched_by_its_terms_and_repeats(tmp_path):
    first, worth = run(replace(Settings(), **SHORT), seed=0, folder=tmp_path)
    again, same = short()
    assert worth == same
    share = first.series("adversarial_share")
    assert share.values.tolist() == again.series("adversarial_share").values.tolist()
    assert share.until(9).values.max() == 0
    assert share.since(15).values == pytest.approx(0.5, rel=0.01)
    assert Trace.read(tmp_path).series("metric/psnr").last == first.series("metric/psnr").last
    assert {"term_gradient/reconstruction", "terms/opposed"} <= set(first.signals)


@pytest.mark.parametrize(
    ("edit", "signal", "value"),
    [
        ({"path": "cut"}, "term_gradient/adversarial", 0.0),
        ({"path": "late"}, "adversarial_share", 0.0),
        ({"still": "never"}, "updates/discriminator", 0.0),
        ({"adaptive": False, "weight": 3.0}, "adaptive_weight", 3.0),
    ],
)
def test_a_fault_is_what_it_says(edit, signal, value):
    trace, _ = short(**edit)
    assert trace.series(signal).last == value


def test_a_summed_loss_asks_for_a_weight_as_much_larger_as_there_are_pixels():
    weights = [
        short(reduction=reduction, steps=20)[0].series("adaptive_weight").values[2]
        for reduction in ("mean", "sum")
    ]
    # the first steps are the same but for Adam's epsilon; clamp and epsilon decide nothing
    assert weights[1] / weights[0] == pytest.approx(256, rel=0.02)


def test_the_codebook_and_the_graph_of_the_weight_reach_the_encoder():
    for edit in ({"codes": 8}, {"detached": False}, {"data": "digits"}):
        trace, worth = short(**edit)
        assert trace.series("gradient_norm/generator").last > 0
        assert worth.reconstruction_l1 > 0


def test_the_table_counts_harm_and_names():
    well = {"name": "adaptive, batch norm", "fault": "", "said": [], "notes": [], "seed": 0}
    sick = {**well, "name": "x", "fault": "weight too small", "said": ["adversarial_term_off"]}
    rows = [
        {**well, "reconstruction_l1": 0.1, "frechet_patches": 0.2},
        {**sick, "reconstruction_l1": 0.1, "frechet_patches": 0.3},
        {**sick, "reconstruction_l1": 0.1, "frechet_patches": 0.2, "said": []},
    ]
    told = tokenizer.table(rows)
    assert "weight too small                                2    1     1     1     1" in told
    assert "healthy: 1 runs, 0 false alarms" in told
