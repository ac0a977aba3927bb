"""Readings against closed forms and slow twins."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from equipoise.monitor import Monitor
from equipoise.monitor.readings import (
    MOST_LOGITS,
    area_under_curve,
    batch_readings,
    diversity_readings,
    flat_logits,
    pair_readings,
    side_readings,
    total_norm,
    whole_logits,
)


def diversity_of(*batches):
    """What `diversity_readings` tells of one iteration."""
    return {name: rows[0] for name, rows in diversity_readings(*(b[None] for b in batches)).items()}


LOGITS = st.lists(st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0]), min_size=1, max_size=20)


def slow_auc(real, fake):
    wins = [1.0 if r > g else 0.5 if r == g else 0.0 for r in real for g in fake]
    return sum(wins) / len(wins)


@given(LOGITS, LOGITS)
def test_area_under_curve_is_that_over_all_pairs(real, fake):
    fast = area_under_curve(torch.tensor(real), torch.tensor(fake))
    assert float(fast) == pytest.approx(slow_auc(real, fake), abs=1e-6)


@given(LOGITS, LOGITS, st.floats(-5, 5), st.floats(0.1, 10))
def test_area_under_curve_ignores_shift_and_scale(real, fake, shift, scale):
    r, g = torch.tensor(real, dtype=torch.float64), torch.tensor(fake, dtype=torch.float64)
    moved = area_under_curve(scale * r + shift, scale * g + shift)
    assert float(moved) == pytest.approx(float(area_under_curve(r, g)), abs=1e-9)


@pytest.mark.parametrize(
    ("real", "fake", "auc"),
    [([1.0, 2.0], [0.0, -1.0], 1.0), ([0.0], [1.0], 0.0), ([1.0] * 5, [1.0] * 3, 0.5)],
)
def test_area_under_curve_at_its_ends(real, fake, auc):
    assert float(area_under_curve(torch.tensor(real), torch.tensor(fake))) == auc


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_area_under_curve_of_logits_that_are_not_finite_is_nan(bad):
    good = torch.tensor([0.0, 1.0])
    assert torch.isnan(area_under_curve(torch.tensor([0.0, bad]), good))
    assert torch.isnan(area_under_curve(good, torch.tensor([bad])))


def test_pair_readings_in_closed_form():
    real, fake = torch.tensor([3.0, 5.0]), torch.tensor([-1.0, 1.0])
    got = pair_readings(real, fake)
    assert float(got["logits/gap"]) == pytest.approx(4.0)  # (4 - 0) / sqrt((1 + 1) / 2)
    assert float(got["accuracy/discriminator"]) == pytest.approx(0.75)
    assert float(got["auc/discriminator"]) == 1.0
    assert float(got["logits/extreme"]) == 5.0


def test_a_common_drift_leaves_the_relativistic_accuracy():
    real, fake = torch.tensor([13.0, 15.0]), torch.tensor([9.0, 11.0])
    plain = pair_readings(real, fake)
    paired = pair_readings(real, fake, neutral=None)
    assert float(plain["accuracy/discriminator"]) == 0.5
    assert float(paired["accuracy/discriminator"]) == 1.0
    assert float(paired["auc/discriminator"]) == float(plain["auc/discriminator"])


def test_accuracy_is_taken_about_the_logit_of_not_knowing():
    real, fake = torch.tensor([0.9, 0.6]), torch.tensor([0.1, 0.4])  # least squares, labels 0 and 1
    assert float(pair_readings(real, fake)["accuracy/discriminator"]) == 0.5
    assert float(pair_readings(real, fake, neutral=0.5)["accuracy/discriminator"]) == 1.0


def test_side_readings_in_closed_form():
    got = side_readings(torch.tensor([-1.0, 1.0, 3.0, 0.0]), "real")
    assert float(got["logits/real/mean"]) == 0.75
    assert float(got["logits/real/std"]) == pytest.approx((35 / 16) ** 0.5)
    assert float(got["sign_rate/real"]) == 0.25
    assert "sign_rate/real" not in side_readings(torch.ones(2), "fake")


def test_batch_readings_in_closed_form():
    got = batch_readings(torch.tensor([[[-3.0, 1.0]]]), "fake")
    assert {k: float(v) for k, v in got.items()} == {
        "batch/fake/mean": -1.0,
        "batch/fake/std": 2.0,
        "batch/fake/extreme": 3.0,
    }


@pytest.mark.parametrize("shape", [(16, 3, 8, 8), (16, 2), (16,), (100, 5000)])
def test_diversity_of_the_reals_themselves_is_one(shape):
    batch = torch.randn(shape)
    for value in diversity_of(batch, batch).values():
        assert float(value) == pytest.approx(1.0)


def test_diversity_of_a_collapsed_batch_is_near_zero():
    real = torch.randn(32, 2)
    fake = torch.zeros(32, 2) + 1e-4 * torch.randn(32, 2)
    assert all(float(v) < 1e-3 for v in diversity_of(real, fake).values())


def test_two_copies_of_few_points_show_in_the_nearest_distance_alone():
    real = torch.randn(32, 2)
    got = diversity_of(real, torch.cat([real[:16], real[:16]]))
    assert float(got["diversity/nearest"]) == 0.0
    assert float(got["diversity/pairwise"]) > 0.7


def test_pair_distances_are_the_median_over_pairs():
    real, fake = torch.randn(9, 2), torch.randn(9, 2)

    def slow(batch):
        pairs = [(a - b).norm() for i, a in enumerate(batch) for b in batch[i + 1 :]]
        return sorted(pairs)[(len(pairs) - 1) // 2]

    got = float(diversity_of(real, fake)["diversity/pairwise"])
    assert got == pytest.approx(float(slow(fake) / slow(real)), rel=1e-5)


def test_two_samples_have_no_diversity():
    assert diversity_of(torch.randn(2, 2), torch.randn(9, 2)) == {}


A, B = torch.tensor([[1.0], [2.0]]), torch.tensor([3.0])
FEATURES = torch.full((7,), 99.0)


@pytest.mark.parametrize(
    ("given_logits", "flat"),
    [
        (A, [1, 2]),
        (torch.arange(4.0).reshape(1, 1, 2, 2), [0, 1, 2, 3]),
        ([A, B], [1, 2, 3]),
        ({"image": A, "video": B}, [1, 2, 3]),
        ((A, FEATURES), [1, 2]),
        ([(A, FEATURES), (B, FEATURES)], [1, 2, 3]),
        (([A, B], [FEATURES]), [1, 2, 3]),
        (torch.tensor(5.0), [5]),
    ],
    ids=["tensor", "patches", "list", "mapping", "tuple", "tuples", "tuple-of-lists", "0-d"],
)
def test_logits_in_any_shape(given_logits, flat):
    assert flat_logits(given_logits).tolist() == flat


@pytest.mark.parametrize("junk", [None, "logits", 3.0, [], {}, (), [None]])
def test_logits_of_another_kind_are_refused_with_the_choices(junk):
    with pytest.raises(TypeError, match=r"tensor, a list or mapping of tensors, or \(logits"):
        flat_logits(junk)


def test_logits_leave_the_graph_and_half_precision():
    logits = torch.ones(3, requires_grad=True, dtype=torch.float64) * 2
    assert not flat_logits(logits).requires_grad
    assert flat_logits(logits).dtype == torch.float64
    assert flat_logits(logits.to(torch.bfloat16)).dtype == torch.float32


def test_many_patches_are_thinned_evenly():
    patches = torch.arange(10_000.0)
    kept = flat_logits(patches)
    assert len(kept) <= MOST_LOGITS
    assert float(kept.mean()) == pytest.approx(float(patches.mean()), rel=0.01)
    assert len(whole_logits(patches)) == 10_000


def test_total_norm_is_over_all_numbers_together():
    tensors = [torch.full((2,), 3.0), torch.full((3, 3), 1.0), torch.tensor(2.0)]
    assert float(total_norm(tensors)) == pytest.approx((18 + 9 + 4) ** 0.5)


def test_half_precision_norms_do_not_overflow():
    tensors = [torch.full((4,), 60_000.0, dtype=torch.float16), torch.zeros(1)]
    assert float(total_norm(tensors)) == pytest.approx(120_000, rel=1e-3)


@pytest.mark.parametrize("by_player", [False, True])
def test_a_gradient_scalers_scale_is_read_at_the_tick(by_player):
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    told = {"generator": scaler} if by_player else scaler
    monitor = Monitor(None, None, scaler=told, tick=1)
    monitor.observe(losses={"d": 1.0})
    name = "loss_scale/generator" if by_player else "loss_scale/all"
    assert monitor.trace().series(name).last == 1024.0


@pytest.mark.parametrize("named", [False, True])
def test_each_of_several_discriminators_is_read_by_itself(named):
    sure, blind = torch.ones(8, 1), torch.zeros(8, 3)
    real, fake = [sure, (blind, "features")], [-sure, (blind, "features")]
    names = ["discriminator_0", "discriminator_1"]
    if named:
        names = ["patches", "whole"]
        real, fake = dict(zip(names, real, strict=True)), dict(zip(names, fake, strict=True))
    monitor = Monitor(None, None, schedule="fixed", stride=1, tick=1)
    monitor.observe(real_logits=real, fake_logits=fake)
    trace = monitor.trace()
    assert [trace.series(f"auc_each/{name}").last for name in names] == [1.0, 0.5]
    assert trace.series(f"gap_each/{names[1]}").last == 0
    monitor.observe(real_logits=sure, fake_logits=-sure)
    assert len(monitor.trace().series(f"auc_each/{names[0]}")) == 1, "one alone is the whole"
