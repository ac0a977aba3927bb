"""What a run turns: by the images shown, and by what it sees; all of it resumed bitwise."""

import json
import math

import pytest
import torch
from recipe_features import FEATURES, joined
from recipe_features import small as tiny
from safetensors import safe_open
from training_scenario import Witness, checkpoints, halt, metrics, same, small, weights

from equipoise.game import Switched, adapted, overfitting_sign
from equipoise.recipe import Hold, Weighting, load
from equipoise.record import Trace
from equipoise.training import build, resume, start
from equipoise.training.controls import Rest, Settled, Strength
from equipoise.training.dials import burnt_in, ema_decay, stage
from equipoise.training.gammas import Gammas, scheduled
from equipoise.training.players import PLAYERS
from equipoise.training.rounds import ROUNDS
from equipoise.training.terms import generator_move

LABELLED = {"objective.name": "non_saturating"}
STATEFUL = {
    "ring": [
        ({"optimizer.generator.switch": {"kimg": 0.16, "name": "sgd", "lr": 1e-3}}, "switch"),
        ({"penalties.lecam.gamma": 0.01}, "lecam"),
        ({"generator_penalties.path_length.gamma": 0.1}, "path_length"),
        ({"weighting.name": "balancer", "feature_matching.gamma": 0.1}, "balancer"),
        (
            {"weighting": {"patience_kimg": 0.1, "ramp_kimg": 0.1}, "feature_matching.gamma": 0.1},
            "plateau",
        ),
        ({"balance.hold": {"low": 0.45, "high": 0.55}}, "hold"),
        ({"compute.precision": "16-mixed"}, "scaler"),
        ({**LABELLED, "pseudo_real": {"p": 0.5, "target": 0.0, "speed_kimg": 0.3}}, "pseudo_real"),
        ({"data.curriculum": {"start": 0.3, "kimg": 0.3}}, ""),
        ({"noise.latent.sigma": 0.1, "noise.hidden.sigma": 0.1, "generator.dropout": 0.2}, ""),
        ({**LABELLED, "objective.label_flip": 0.2, "noise.input.sigma": 0.1}, ""),
        ({"penalties.r2": {"gamma": 0.1, "every": 3}, "balance.order": "extragradient"}, ""),
        ({"optimizer.discriminator.beta2_burn_in": {"start": 0.5, "kimg": 0.3}}, ""),
        ({"penalties.zcr.gamma": 0.1, "generator_penalties.latent_spread.gamma": 0.1}, ""),
        ({"discriminator.normalization": "spectral", "balance.unroll.lr": 0.1}, ""),
    ],
    "digits": [
        (
            {"augmentation": {"name": "ada", "target": 0.0, "speed_kimg": 0.3}, **LABELLED},
            "augmentation",
        ),
        ({"augmentation": "diffaugment"}, ""),
        ({"ema.standing_batches": 2, "evaluation.truncation": 1.0}, ""),
        (FEATURES["digits"]["growth"], ""),
    ],
}
CASES = [(preset, *case) for preset, cases in STATEFUL.items() for case in cases]


def edited(preset, edit):
    return small(preset).edit(joined({"generator.normalization": "none"}, edit))


@pytest.mark.parametrize(("preset", "edit", "control"), CASES, ids=lambda v: str(v)[:50])
def test_stopped_and_resumed_ends_bitwise_as_unbroken(preset, edit, control, tmp_path):
    recipe = edited(preset, edit)
    whole = start(recipe, tmp_path / "whole")
    start(recipe, tmp_path / "parts", (halt(11),))
    ended = resume(tmp_path / "parts")
    assert ended.metrics == whole.metrics
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert metrics(tmp_path / "whole") == metrics(tmp_path / "parts")
    saved = [states(tmp_path / name) for name in ("whole", "parts")]
    assert saved[0] == saved[1]
    assert any(name.split("/")[0] == control for name in saved[0]) == bool(control)


def states(run_dir):
    """The controls' numbers in the newest checkpoint."""
    with safe_open(checkpoints(run_dir)[-1], framework="pt") as file:
        return json.loads(file.metadata()["controls"])


def test_adas_strength_follows_the_sign_of_the_logits_of_reals(tmp_path):
    ada = {"augmentation": {"name": "ada", "p": 0.5, "target": 0.2, "speed_kimg": 0.5}}
    logits = []

    class Eye(Witness):
        def after(self, iteration):
            logits.append(iteration.real_logits)
            return super().after(iteration)

    start(edited("digits", {**ada, **LABELLED}), tmp_path / "run", (Eye(),))
    p = 0.5
    for first in range(0, 24, 4):  # of four updates, 64 images
        signs = [overfitting_sign(one).item() for one in logits[first : first + 4]]
        p = adapted(p, sum(signs) / 4, 64, 0.2, 500)
    assert states(tmp_path / "run")["augmentation"]["p"] == pytest.approx(p)
    assert p != 0.5


def test_a_strength_without_a_target_stays():
    turned = []
    strength = Strength(0.3, None, 500.0, turned.append)
    strength.seen(None, 8)
    assert (strength.p, turned) == (0.3, [0.3])


@pytest.mark.parametrize(
    ("band", "resting"),
    [({"low": -1.0, "high": 0.0}, "discriminator"), ({"low": 1.1, "high": 1.2}, "generator")],
)
def test_the_player_who_is_ahead_rests(band, resting, tmp_path):
    recipe = edited("ring", {"balance.hold": band})
    first = build(recipe).modules
    witness = Witness()
    start(recipe, tmp_path / "run", (witness,))
    for name in ("generator", "discriminator"):
        before, after = first[name].state_dict(), witness.game.modules[name].state_dict()
        assert same(before, after) == (name == resting)


def test_accuracy_is_the_share_of_pairs_told_apart():
    rest = Rest(Hold(low=0.4, high=0.8, decay=0.5))

    class Seen:
        real_logits, fake_logits = (
            torch.tensor([1.0, 2.0, 3.0, 0.0]),
            torch.tensor([0.0, 1.0, 2, 9]),
        )

    assert rest.average == 0.5
    rest.seen(Seen, 4)
    assert rest.average == 0.5 * 0.5 + 0.5 * 0.75
    assert not rest.rests("discriminator")
    for _ in range(20):
        rest.seen(Seen, 4)
    assert not rest.rests("generator")


def test_the_adversarial_term_waits_for_the_other_to_settle():
    settled = Settled(Weighting(patience_kimg=0.1, ramp_kimg=0.2))
    seen = [settled.ramp(16 * k, torch.tensor(5.0)) for k in range(32)]
    started = 128  # the first of every eighth look that is 100 images after the best
    expected = [min(max(16 * k - started, 0) / 200, 1.0) for k in range(32)]
    assert seen == pytest.approx(expected)
    falling = Settled(Weighting(patience_kimg=0.1))
    assert not any(falling.ramp(16 * k, torch.tensor(0.9**k)) for k in range(60))


def test_features_are_matched_on_the_discriminator_as_it_is_also_when_it_is_unrolled():
    edit = {"feature_matching.gamma": 1.0}
    alone, ahead = (
        build(tiny("ring", edit, more)) for more in ({}, {"balance.unroll": {"lr": 0.1}})
    )
    for game in (alone, ahead):
        game.settle(0)
    z, real = alone.z("z", 0, 8), alone.source.batch(0, 0, 8)
    distances = [
        generator_move(game, 0, z, real, {}).penalties["feature_matching"]
        for game in (alone, ahead)
    ]
    assert torch.equal(*distances)


def test_an_optimizer_is_switched_at_its_kimg_and_its_moments_are_fresh(tmp_path):
    switch = {"kimg": 0.16, "name": "sgd", "lr": 0.5, "beta1": -0.5}
    witness = Witness()
    recipe = edited("ring", {"optimizer.generator.switch": switch})
    start(recipe, tmp_path / "run", (witness,))
    optimizer = witness.game.optimizers["generator"]
    assert isinstance(optimizer, Switched)
    assert optimizer.second_is_on
    assert {key for state in optimizer.state.values() for key in state} == {"momentum"}
    done = (384 - 16) / 1000  # the last rate was set with this many reals shown
    factor = scheduled(recipe.optimizer.generator.schedule, done * 1000, recipe)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5 * factor)


def three(recipe):
    """The game after three iterations, and the last move."""
    game = build(recipe)
    for k in range(3):
        images = k * recipe.images_per_iteration
        game.settle(images)
        played = ROUNDS[recipe.balance.order](game, images, k)
    return game, played


@pytest.mark.parametrize("preset", ["ring", "digits"])
@pytest.mark.parametrize("parts", [2, 4])
def test_accumulated_parts_add_up_to_the_whole_batch(preset, parts):
    edit = {"penalties": {"r1": {"gamma": 0.3}, "r2": {"gamma": 0.3}, "lecam": {"gamma": 0.1}}}
    edit |= {"penalties.orthogonal": {"gamma": 0.01}, "optimizer.generator.name": "sgd"}
    edit["optimizer.discriminator.name"] = "sgd"
    whole, at_once = three(tiny(preset, edit))
    cut, in_parts = three(tiny(preset, edit, {"accumulate": parts}))
    for name in whole.modules:
        pairs = zip(whole.modules[name].parameters(), cut.modules[name].parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs)
    assert torch.allclose(at_once.discriminator.loss, in_parts.discriminator.loss, atol=1e-5)
    assert in_parts.discriminator.real_logits.shape == at_once.discriminator.real_logits.shape
    assert in_parts.discriminator.penalties.keys() == at_once.discriminator.penalties.keys()


def test_lazy_penalties_are_paid_every_kth_update_k_times_over():
    recipe = load("ring").edit({"penalties": {"r1": {"gamma": 0.5, "every": 3}}})
    gammas = Gammas(recipe.penalties, recipe)
    paid = [gammas.at(0, update) for update in range(7)]
    assert paid == [{"r1": 1.5}, {}, {}, {"r1": 1.5}, {}, {}, {"r1": 1.5}]


def test_penalties_of_constant_weight_are_not_computed_anew():
    recipe = load("ring").edit({"penalties": {"r1": {"gamma": 0.5}, "r2": {"gamma": 0.0}}})
    gammas = Gammas(recipe.penalties, recipe)
    assert gammas.at(0, 0) == gammas.at(10**6, 5) == {"r1": 0.5}


def test_beta2_burns_in_along_a_cosine():
    settings = load("ring").edit({"optimizer.generator.beta2_burn_in": {"start": 0.9, "kimg": 10}})
    settings = settings.optimizer.generator
    values = [burnt_in(settings.beta2, settings.beta2_burn_in, n) for n in (0, 5000, 10000, 99999)]
    assert values == pytest.approx([0.9, 0.945, 0.99, 0.99])


@pytest.mark.parametrize(
    ("images", "where"),
    [(0, 0.0), (1000, 0.0), (1500, 0.5), (2000, 1.0), (3000, 1.0), (3250, 1.25), (9999, 2.0)],
)
def test_a_growing_game_plays_each_size_then_fades_the_next_in(images, where):
    growth = {"start": 4, "stage_kimg": 1.0, "fade_kimg": 1.0}
    recipe = load("images").edit({"growth": growth, "data.resolution": 16})
    assert stage(recipe, 2, images) == pytest.approx(where)


def test_the_trace_is_told_where_controls_and_dials_stand(tmp_path):
    growth = FEATURES["digits"]["growth"]
    edit = {"data.curriculum": {"start": 0.25, "kimg": 0.768}, **growth}
    start(edited("digits", edit), tmp_path / "run")
    trace = Trace.read(tmp_path / "run")
    shares = trace.series("control/curriculum/share")
    shown = [(step * 16 - 16) / 768 for step in shares.steps]  # as the last iteration found it
    assert shares.values.tolist() == pytest.approx([0.25 + 0.75 * t for t in shown])
    assert trace.series("control/growth/stage").last == 1.0


def test_the_average_ramps_up_and_burns_in():
    recipe = load("ring").edit(
        {"ema": {"half_life_kimg": 10.0, "rampup": 0.05}, "batch": 100, "kimg": 100}
    )
    assert ema_decay(recipe, 20_000) == pytest.approx(0.5 ** (100 / 1000))
    assert ema_decay(recipe, 10**7) == pytest.approx(0.5 ** (100 / 10_000))
    burning = recipe.edit({"ema": {"half_life_kimg": 10.0, "burn_in": {"start": 1.0, "kimg": 20}}})
    assert ema_decay(burning, 0) == pytest.approx(0.5 ** (100 / 1000))
    assert ema_decay(burning, 10_000) == pytest.approx(0.5 ** (100 / 5500))


def test_each_player_has_a_loss_scale_of_its_own_in_float16():
    game = build(tiny("ring", {"compute.precision": "16-mixed"}))
    scalers = [game.scalers[player] for player in ("generator", "discriminator")]
    assert scalers[0] is not scalers[1]
    game.weights["discriminator"][0].data[0, 0] = math.inf  # its gradients overflow
    before = scalers[0].get_scale()
    game.settle(0)
    ROUNDS["alternating"](game, 0, 0)
    assert scalers[1].get_scale() == before / 2


def test_truncated_latents_stay_within_the_bound():
    from equipoise.training.evaluation import latents

    game = build(tiny("ring", {"evaluation.truncation": 0.5}))
    assert latents(game, "z/fixed", 500).abs().max() <= 0.5
    assert torch.equal(latents(game, "z/fixed", 5), latents(game, "z/fixed", 5))


def test_clipping_bounds_the_step():
    edit = {"optimizer.generator": {"name": "sgd", "lr": 1.0, "clip_norm": 1e-3}}
    game = build(tiny("ring", edit))
    before = [w.detach().clone() for w in game.weights["generator"]]
    game.settle(0)
    ROUNDS["alternating"](game, 0, 0)
    moved = [(w - b).square().sum() for w, b in zip(game.weights["generator"], before, strict=True)]
    assert torch.stack(moved).sum().sqrt().item() == pytest.approx(1e-3, rel=1e-3)


def test_the_constraint_holds_after_every_step():
    game, _ = three(tiny("ring", {"constraint": {"bound": 0.02}}))
    assert max(w.abs().max().item() for w in game.weights["discriminator"]) <= 0.02


def test_both_players_step_from_the_same_point_when_simultaneous():
    """The generator answers the discriminator's old weights: its step is blind to their rate."""
    ends = []
    for order in ("simultaneous", "alternating"):
        for lr in (1e-3, 1e-1):
            edit = {"balance.order": order, "optimizer.discriminator.lr": lr}
            game = build(tiny("ring", edit))
            game.settle(0)
            ROUNDS[order](game, 0, 0)
            ends.append(torch.cat([w.detach().flatten() for w in game.weights["generator"]]))
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[2], ends[3])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # torch's own, as is
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # the compiler's
@pytest.mark.parametrize("player", ["generator", "discriminator"])
def test_a_compiled_network_plays_like_the_plain_one(player):
    sgd = {f"optimizer.{name}.name": "sgd" for name in PLAYERS}  # Adam scales rounding noise up
    plain, _ = three(tiny("ring", sgd))
    compiled, _ = three(tiny("ring", sgd, {"compute.compile": [player]}))
    pairs = zip(plain.weights[player], compiled.weights[player], strict=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in pairs)
