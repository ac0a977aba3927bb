"""Loss terms compared before the backward: closed forms, nothing changed, cost held, mistakes."""

import copy
import math
import time

import pytest
import torch
from torch import nn

from equipoise.monitor import Monitor
from equipoise.monitor.governor import PURSES, Governor
from equipoise.monitor.terms import Terms, agreement


def dense(*players, **options):
    settings = {"schedule": "fixed", "stride": 1, "tick": 1} | options
    return Monitor(*(players or (None, None)), **settings)


def told(monitor, **call):
    """What one call of `terms` puts into the trace."""
    monitor.terms(**call)
    monitor.observe()
    trace = monitor.trace()
    return {name: trace.series(name).last for name in trace.signals}


def two_terms(output):
    """Gradients (3, 4, 0) and (0, -1, 2) at `output`."""
    target = torch.tensor([3.0, 4.0, 0.0])
    return (output * target).sum(), (output * torch.tensor([0.0, -1.0, 2.0])).sum()


def test_norms_share_cosine_and_signs_are_those_computed_by_hand():
    output = torch.zeros(3, requires_grad=True) * 1.0
    reconstruction, adversarial = two_terms(output)
    found = told(
        dense(), at=output, reconstruction=reconstruction, adversarial=adversarial, weight=2.0
    )
    assert found["term_gradient/reconstruction"] == pytest.approx(5.0)
    assert found["term_gradient/adversarial"] == pytest.approx(math.sqrt(5))
    assert found["adversarial_share"] == pytest.approx(2 * math.sqrt(5) / 5)
    assert found["terms/cosine"] == pytest.approx(-4 / (5 * math.sqrt(5)))
    assert found["terms/opposed"] == 1.0, "one entry has two signs, and they oppose"
    assert found["adaptive_weight"] == 2.0
    epsilon = 1e-4 / (math.sqrt(5) + 1e-4)
    assert found["adaptive_weight/epsilon_share"] == pytest.approx(epsilon, rel=1e-5)


def test_a_term_passed_with_its_weight_needs_none():
    output = torch.zeros(3, requires_grad=True) * 1.0
    reconstruction, adversarial = two_terms(output)
    found = told(dense(), at=output, reconstruction=reconstruction, adversarial=2 * adversarial)
    assert found["adversarial_share"] == pytest.approx(2 * math.sqrt(5) / 5)
    assert "adaptive_weight" not in found


def test_several_places_count_as_one():
    first, second = torch.zeros(2, requires_grad=True), torch.zeros(1, requires_grad=True)
    loss = first.sum() * 2 + second.sum() * 1
    found = told(dense(), at=[first, second], perceptual=loss)
    assert found["term_gradient/perceptual"] == pytest.approx(3.0)
    assert "adversarial_share" not in found


@pytest.mark.parametrize("adversarial", ["elsewhere", "plain", "detached"])
def test_a_term_that_does_not_reach_the_place_pulls_with_0(adversarial):
    output = torch.ones(3, requires_grad=True)
    elsewhere = torch.ones(1, requires_grad=True)
    losses = {
        "elsewhere": elsewhere.sum(),
        "plain": 0.0,
        "detached": output.detach().sum(),
    }
    found = told(
        dense(), at=output, reconstruction=output.sum(), adversarial=losses[adversarial], weight=0.5
    )
    assert found["term_gradient/adversarial"] == 0.0
    assert (found["adversarial_share"], found["terms/cosine"]) == (0.0, 0.0)


def test_the_share_is_free_of_the_reduction():
    def share(reduce, weight):
        output = torch.linspace(-1, 1, 192, dtype=torch.float64, requires_grad=True) * 1.0
        reconstruction = reduce((output - 0.3).abs())
        adversarial = -(output.square()).mean()
        found = told(
            dense(),
            at=output,
            reconstruction=reconstruction,
            adversarial=adversarial,
            weight=weight,
        )
        return found["adversarial_share"]

    assert share(torch.mean, 0.1) == pytest.approx(share(torch.sum, 0.1 * 192), rel=1e-5)


def test_readings_at_the_largest_weight_are_counted():
    monitor = dense(tick=6)
    output = torch.ones(3, requires_grad=True)
    for weight in (1.0, 3.0, 5.0, 5.0, 2.0, 5.0):
        monitor.terms(at=output, adversarial=output.sum(), weight=torch.tensor(weight))
        monitor.observe()
    assert monitor.trace().series("adaptive_weight/at_largest").last == pytest.approx(2 / 5)


def test_signs_of_half_a_plane():
    first, second = torch.ones(1000), torch.ones(1000)
    second[:250] = -1
    second[250:500] = 0
    assert float(agreement([first], [second])["terms/opposed"]) == pytest.approx(1 / 3)


class Loop:
    """An autoencoder beside a critic, with dropout, buffers and a gradient that accumulates."""

    def __init__(self, watched):
        torch.manual_seed(0)
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2))
        self.last = nn.Linear(8, 6)
        self.critic = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 1))
        self.model = nn.Sequential(self.encoder, self.last)
        self.optimizers = [
            torch.optim.Adam(module.parameters(), 1e-2) for module in (self.model, self.critic)
        ]
        self.monitor = dense(self.model, self.critic, *self.optimizers) if watched else None

    def play(self, steps, place):
        for _ in range(steps):
            x = torch.randn(8, 6)
            y = self.model(x)
            reconstruction, adversarial = (y - x).abs().mean(), -self.critic(y).mean()
            if self.monitor is not None:
                at = {"output": y, "layer": self.last.weight, "both": [y, self.last.weight]}[place]
                self.monitor.terms(at=at, reconstruction=reconstruction, adversarial=adversarial)
            for optimizer in self.optimizers:
                optimizer.zero_grad()
            (reconstruction + 0.1 * adversarial).backward()
            self.optimizers[0].step()
            logits = self.critic(x), self.critic(y.detach())
            loss = (1 - logits[0]).relu().mean() + (1 + logits[1]).relu().mean()
            self.optimizers[1].zero_grad()
            loss.backward()
            self.optimizers[1].step()
            if self.monitor is not None:
                self.monitor.observe(real=x, fake=y, real_logits=logits[0], fake_logits=logits[1])
        return self

    def state(self):
        parts = {}
        for i, module in enumerate((self.model, self.critic)):
            parts |= {f"{i}.{k}": v for k, v in module.state_dict().items()}
            parts |= {f"{i}.{k}.grad": p.grad for k, p in module.named_parameters()}
        return parts | {"rng": torch.get_rng_state()}


@pytest.mark.parametrize("place", ["output", "layer", "both"])
def test_training_is_bitwise_the_same(place):
    bare = copy.deepcopy(Loop(False).play(60, place).state())
    watched = Loop(True).play(60, place)
    state = watched.state()
    assert [k for k in bare if not torch.equal(bare[k], state[k])] == []
    assert len(watched.monitor.trace().series("adversarial_share")) == 60


def test_the_generators_own_pull_is_read_once_a_step_and_whole():
    """Partial backwards run through the same hook as the loop's; only the loop's may count."""

    def pulls(with_terms):
        loop = Loop(True)
        if not with_terms:
            loop.monitor.terms = lambda **_: None
        return loop.play(5, "output").monitor.trace().series("pull/norm").values.tolist()

    assert pulls(True) == pulls(False)


def test_nothing_passed_is_kept_alive():
    import gc
    import weakref

    monitor = dense()
    output = torch.ones(3, requires_grad=True) * 2
    alive = weakref.ref(output)
    monitor.terms(at=output, reconstruction=output.sum(), adversarial=output.square().sum())
    monitor.observe()
    del output
    gc.collect()
    assert alive() is None


MISTAKES = {
    "detached": (lambda y: {"at": y.detach(), "reconstruction": y.sum()}, "at = has no gradient"),
    "no-tensor": (lambda y: {"at": "y", "reconstruction": y.sum()}, "at = str"),
    "no-place": (lambda y: {"at": [], "reconstruction": y.sum()}, "pass the output"),
    "unreduced": (lambda y: {"at": y, "reconstruction": y * 2}, "reduce it as the loop does"),
    "text": (lambda y: {"at": y, "reconstruction": "l1"}, "reconstruction = str"),
    "no-terms": (lambda y: {"at": y}, "name at least one loss"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_said_once_and_ends_nothing(name, capsys):
    call, words = MISTAKES[name]
    monitor = dense()
    for _ in range(3):
        output = torch.ones(3, requires_grad=True) * 2
        monitor.terms(**call(output))
        output.sum().backward()
        monitor.observe(losses={"d": 1.0})
    said = capsys.readouterr().err
    assert words in said
    assert said.count("equipoise") == 1
    assert len(monitor.trace().series("loss/discriminator")) == 3, "watching goes on"


def test_a_graph_that_is_gone_is_said_and_the_loop_goes_on(capsys):
    monitor = dense()
    output = torch.ones(3, requires_grad=True).exp()
    loss = output.square().sum()
    loss.backward()
    monitor.terms(at=output, reconstruction=loss)
    monitor.observe()
    assert "terms() is off" in capsys.readouterr().err


def test_without_gradients_as_in_validation_nothing_is_measured(capsys):
    monitor = dense()
    with torch.no_grad():
        monitor.terms(at=torch.ones(3), reconstruction=torch.tensor(1.0))
    monitor.observe()
    assert capsys.readouterr().err == ""
    assert "term_gradient/reconstruction" not in monitor.trace()


def test_only_iterations_that_are_read_are_measured():
    monitor = dense(stride=5)
    for _ in range(20):
        output = torch.ones(3, requires_grad=True)
        monitor.terms(at=output, reconstruction=output.sum())
        monitor.observe()
    steps = monitor.trace().series("term_gradient/reconstruction").steps
    assert steps.tolist() == [5, 10, 15, 20]


class Clock:
    """Stands until somebody works."""

    now = 0.0

    def __call__(self):
        return self.now


def test_its_cost_is_held_beside_that_of_readings(monkeypatch):
    """A measurement 20 times as dear as a reading gets its turns, and the share holds."""
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    governor, done = Governor(0.01, "adaptive", 10), []
    terms = Terms(governor, lambda name, value: None)
    monkeypatch.setattr(Terms, "_measure", lambda *given: work())

    def work():
        clock.now += 2.0
        done.append(clock.now)

    output = torch.ones(1, requires_grad=True)
    shares = []
    for iteration in range(6000):
        governor.start()
        wanted = governor.reads(iteration)
        clock.now += 1.0
        if wanted:
            terms.read(output, {"reconstruction": output.sum()}, None)
            clock.now += 0.1
            governor.charge(0.1, reading=True)
        governor.settle(wanted)
        shares.append(governor.share)
    assert len(done) == pytest.approx(PURSES["terms"] * 0.01 * 6000 / 2.0, abs=1)
    assert max(shares[1000:]) <= 0.01


def test_an_armed_audit_is_left_alone():
    loop = Loop(True)
    loop.monitor.audit(steps=2)
    loop.play(1, "output")
    assert "adversarial_share" not in loop.monitor.trace()
    loop.play(10, "output")
    assert len(loop.monitor.trace().series("adversarial_share")) >= 5
