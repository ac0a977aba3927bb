"""Play to N is bitwise play to k, save, resume to N; what a run's randomness depends on."""

import pytest
import torch
from training_scenario import BATCH, Witness, checkpoints, halt, metrics, same, small, weights

from equipoise.training import build, generate, resume, start

SPECTRAL = {
    "discriminator__normalization": "spectral",
    "objective": "hinge",
    "penalties": {},
}
SCHEDULED = {
    "optimizer__generator__schedule": {"shape": "linear", "end": 0.1, "kimg": 0.2},
    "optimizer__discriminator__schedule": {"shape": "exponential", "end": 0.01},
    "penalties__r1__schedule": {"shape": "cosine", "end": 0.0},
    "ema__half_life_kimg": None,
}
RECIPES = {
    "ring, relativistic": small(),
    "digits, batch norm and average": small("digits", ema__half_life_kimg=0.1),
    "ring, spectral norm": small(**SPECTRAL),
    "digits, spectral norm": small("digits", **SPECTRAL),
    "ring, 5 to 2 updates": small(balance__discriminator_steps=5, balance__generator_steps=2),
    "ring, schedules": small(**SCHEDULED),
    "digits, augmented": small("digits", data__augment={"flip": True, "crop": 1, "color": 0.2}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_and_resumed_ends_bitwise_as_unbroken(name, tmp_path):
    recipe = RECIPES[name]
    whole = start(recipe, tmp_path / "whole")
    stopped = start(recipe, tmp_path / "parts", (halt(7),))
    again = start(recipe, tmp_path / "again", (halt(19),))
    assert whole.finished
    assert not stopped.finished
    assert (stopped.step, again.step) == (7, 19)
    for folder in ("parts", "again"):
        ended = resume(tmp_path / folder)
        assert (ended.finished, ended.step, ended.metrics) == (True, 24, whole.metrics)
        assert same(weights(tmp_path / "whole"), weights(tmp_path / folder))
        assert metrics(tmp_path / "whole") == metrics(tmp_path / folder)


def test_checkpoints_hold_players_average_and_optimizer_state(tmp_path):
    start(RECIPES["digits, batch norm and average"], tmp_path / "run")
    names = weights(tmp_path / "run").keys()
    assert {name.split("/")[0] for name in names} == {
        "generator", "discriminator", "average", "optimizer",
    }  # fmt: skip
    assert any("running_mean" in name for name in names)
    assert {name.rsplit("/", 1)[1] for name in names if name.startswith("optimizer/")} == {
        "step", "exp_avg", "exp_avg_sq",
    }  # fmt: skip


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = start(small(), tmp_path / "run")
    before = weights(tmp_path / "run")
    witness = Witness()
    second = resume(tmp_path / "run", (witness,))
    assert (second.step, second.finished, second.metrics) == (first.step, True, first.metrics)
    assert witness.steps() == []
    assert same(before, weights(tmp_path / "run"))


def test_resume_without_any_checkpoint_starts_over_to_the_same_end(tmp_path):
    start(small(), tmp_path / "run")
    end = weights(tmp_path / "run")
    for path in checkpoints(tmp_path / "run"):
        path.unlink()
    witness = Witness()
    resume(tmp_path / "run", (witness,))
    assert witness.steps() == list(range(1, 25))
    assert same(end, weights(tmp_path / "run"))


def test_same_seed_same_weights_other_seed_other_weights(tmp_path):
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        start(small(seed=seed), tmp_path / name)
    a, b, c = (weights(tmp_path / name) for name in "abc")
    assert same(a, b)
    assert not any(
        torch.equal(a[name], c[name]) for name in a if name.endswith("weight") and a[name].dim() > 1
    )


@pytest.mark.parametrize("preset", ["ring", "digits"])
def test_changing_the_discriminator_leaves_the_generators_first_weights(preset):
    base, other = small(preset), small(preset, discriminator__width=11, discriminator__depth=2)
    first, second = build(base).generator.state_dict(), build(other).generator.state_dict()
    assert same(first, second)
    wider = build(small(preset, generator__width=11)).discriminator.state_dict()
    assert same(build(base).discriminator.state_dict(), wider)


def test_arms_with_one_seed_see_the_same_reals_in_the_same_order(tmp_path):
    edits = {
        "base": {},
        "arm": {"optimizer__discriminator__lr": 0.1, "generator__width": 5},
        "other": {"seed": 1},
        "twice": {"balance__discriminator_steps": 2},
    }
    seen = {}
    for name, edit in edits.items():
        witness = Witness()
        start(small("digits", **edit), tmp_path / name, (witness,))
        seen[name] = torch.stack(witness.reals)
    assert torch.equal(seen["base"], seen["arm"])
    assert not torch.equal(seen["base"], seen["other"])
    assert torch.equal(seen["base"][1::2], seen["twice"][:12])  # its second batch of each iteration
    assert seen["base"].shape == (24, BATCH, 1, 8, 8)


def test_fakes_depend_on_the_position_not_on_what_was_drawn_before(tmp_path):
    game = build(small())
    first = game.z("z/discriminator", 160, BATCH)
    torch.rand(7)
    assert torch.equal(first, game.z("z/discriminator", 160, BATCH))
    assert not torch.equal(first, game.z("z/discriminator", 176, BATCH))
    assert not torch.equal(first, game.z("z/generator/0", 160, BATCH))


def test_the_average_is_the_textbook_recursion_and_its_statistics_the_generators(tmp_path):
    recipe = small("digits", ema__half_life_kimg=0.064)  # 4 iterations
    beta = 0.5**0.25
    expected = {k: v.detach().clone() for k, v in build(recipe).generator.named_parameters()}

    class Follower(Witness):
        def after(self, iteration):
            for name, value in self.game.generator.named_parameters():
                expected[name] = beta * expected[name] + (1 - beta) * value.detach()
            return super().after(iteration)

    start(recipe, tmp_path / "run", (Follower(),))
    saved = weights(tmp_path / "run")
    for name, value in expected.items():
        torch.testing.assert_close(saved[f"average/{name}"], value)
    statistics = [name for name in saved if name.startswith("average/") and "running" in name]
    assert statistics
    for name in statistics:
        assert torch.equal(saved[name], saved[name.replace("average", "generator")])


def test_a_sample_depends_on_its_own_z_alone():
    """Batch normalization in evaluation mode, and nothing of the average moves."""
    game = build(small("digits"))
    z = game.z("z/fixed", 0, 5)
    before = {name: value.clone() for name, value in game.average.state_dict().items()}
    together, alone = generate(game, z), torch.cat([generate(game, one) for one in z.split(1)])
    torch.testing.assert_close(together, alone)
    assert same(before, game.average.state_dict())
