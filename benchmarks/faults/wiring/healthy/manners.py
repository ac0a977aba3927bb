"""Precision, several players, features, closures: loops as known code bases write them."""

from __future__ import annotations

import copy
import itertools

import torch
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from benchmarks.faults.wiring.parts import (
    BATCH,
    ITERATIONS,
    PIXELS,
    adam,
    data,
    discriminator,
    game,
    generator,
    latent,
    watch,
)


class Scaled:
    """What a gradient scaler does, on any device: scale, unscale in place, skip."""

    def __init__(self, optimizer: torch.optim.Optimizer, scale: float = 2.0**16) -> None:
        self.optimizer, self.scale = optimizer, scale

    def step(self) -> None:
        """Unscale, and step unless something overflowed."""
        grads = [p.grad for g in self.optimizer.param_groups for p in g["params"]]
        for grad in grads:
            grad.mul_(1 / self.scale)
        if all(bool(grad.isfinite().all()) for grad in grads):
            self.optimizer.step()
        else:
            self.scale /= 2


def float16_scaled() -> None:
    """float16 autocast with a scaler per player that skips its first steps, and clipping."""
    g, d, opt_g, opt_d = game()
    scaler_g, scaler_d = Scaled(opt_g, 2.0**24), Scaled(opt_d, 2.0**24)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        with torch.autocast("cpu", torch.float16):
            y = g(latent())
            r, f = d(x), d(y.detach())
            loss_d = (softplus(-r.float()) + softplus(f.float())).mean()
        opt_d.zero_grad()
        (scaler_d.scale * loss_d).backward()
        nn.utils.clip_grad_norm_(d.parameters(), 1e9)
        scaler_d.step()
        with torch.autocast("cpu", torch.float16):
            h = d(y)
        opt_g.zero_grad()
        (scaler_g.scale * softplus(-h.float()).mean()).backward()
        scaler_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def bfloat16() -> None:
    """bfloat16 autocast over float32 weights."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        with torch.autocast("cpu", torch.bfloat16):
            y = g(latent())
            r, f = d(x), d(y.detach())
            loss_d = (softplus(-r) + softplus(f)).mean()
        opt_d.zero_grad()
        loss_d.backward()
        opt_d.step()
        with torch.autocast("cpu", torch.bfloat16):
            loss_g = softplus(-d(y)).mean()
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y.float(), real_logits=r, fake_logits=f)


def two_discriminators() -> None:
    """Two discriminators with an optimizer each and one summed loss; logits as lists."""
    g, first, second = generator(), discriminator(), discriminator()
    opt_g, opt_1, opt_2 = adam(g), adam(first), adam(second)
    monitor = watch(g, {"first": first, "second": second}, opt_g, {"first": opt_1, "second": opt_2})
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_1.zero_grad()
        opt_2.zero_grad()
        r, f = [first(x), second(x)], [first(y.detach()), second(y.detach())]
        loss = sum(relu(1 - a).mean() + relu(1 + b).mean() for a, b in zip(r, f, strict=True))
        loss.backward()
        opt_1.step()
        opt_2.step()
        opt_g.zero_grad()
        (-first(y).mean() - second(y).mean()).backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss})


class Paired(nn.Module):
    """HiFi-GAN's manner: judges real and generated together, returns features too."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(PIXELS, 16), nn.Linear(16, 1)

    def forward(self, x: Tensor, y: Tensor) -> tuple[list[Tensor], ...]:
        a, b = relu(self.body(x)), relu(self.body(y))
        return [self.head(a)], [self.head(b)], [a], [b]


def paired_with_features() -> None:
    """A discriminator that takes the pair, feature matching, reconstruction, weight 45."""
    g, d = nn.Sequential(nn.Linear(PIXELS, 16), nn.ReLU(), nn.Linear(16, PIXELS)), Paired()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        y = g(x)
        opt_d.zero_grad()
        r, f, _, _ = d(x, y.detach())
        loss_d = (r[0] - 1).square().mean() + f[0].square().mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        _, h, kept, made = d(x, y)
        matching = (kept[0] - made[0]).abs().mean()
        loss_g = (h[0] - 1).square().mean() + 2 * matching + 45 * (x - y).abs().mean()
        loss_g.backward()
        opt_g.step()
        given = {"real_logits": r, "fake_logits": f, "generator_logits": h}
        monitor.observe(real=x, fake=y, losses={"d": loss_d, "g": loss_g}, **given)


def adaptive_weight() -> None:
    """VQGAN's manner: autograd.grad at the last layer weighs the term; it starts at step 5."""
    g, d = nn.Sequential(nn.Linear(PIXELS, 16), nn.ReLU(), nn.Linear(16, PIXELS)), discriminator()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d, adversarial_start=5)
    for n in range(ITERATIONS):
        x = data()
        y = g(x)
        loss_rec, on = (x - y).abs().mean(), float(n >= 5)
        adversarial = -d(y).mean()
        last = g[2].weight
        rec_norm = torch.autograd.grad(loss_rec, last, retain_graph=True)[0].norm()
        adv_norm = torch.autograd.grad(adversarial, last, retain_graph=True)[0].norm()
        weight = (rec_norm / (adv_norm + 1e-4)).clamp(0, 1e4).detach()
        opt_g.zero_grad()
        (loss_rec + on * 0.8 * weight * adversarial).backward()
        opt_g.step()
        opt_d.zero_grad()
        r, f = d(x.detach()), d(y.detach())
        loss_d = on * 0.5 * (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()
        opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, adaptive_weight=weight)


def generator_called_twice() -> None:
    """Fresh fakes in each step, made without a graph for the discriminator; lazy R1."""
    g, d, opt_g, opt_d = game()
    average = copy.deepcopy(g)
    monitor = watch(g, d, opt_g, opt_d)
    for n in range(ITERATIONS):
        x = data()
        with torch.no_grad():
            y = g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y)
        (softplus(-r) + softplus(f)).mean().backward()
        opt_d.step()
        if n % 2 == 0:
            opt_d.zero_grad()
            reals = x.clone().requires_grad_()
            slope = torch.autograd.grad(d(2 * reals / 2).sum(), reals, create_graph=True)[0]
            slope.square().sum(1).mean().backward()
            opt_d.step()
        opt_g.zero_grad()
        softplus(-d(g(latent()))).mean().backward()
        opt_g.step()
        with torch.no_grad():
            for mean, p in zip(average.parameters(), g.parameters(), strict=True):
                mean.lerp_(p, 0.01)
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def manual_optimization() -> None:
    """Lightning's manner: toggled players, closures in the steps, one observe in two steps."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, z = data(), latent()
        d.requires_grad_(False)

        def generate() -> Tensor:
            opt_g.zero_grad()
            loss = softplus(-d(g(z))).mean()  # noqa: B023 - called in this iteration
            loss.backward()
            return loss

        opt_g.step(generate)
        d.requires_grad_(True)
        y = g(z).detach()

        def judge() -> Tensor:
            opt_d.zero_grad()
            loss = (softplus(-d(x)) + softplus(d(y))).mean()  # noqa: B023 - called in this iteration
            loss.backward()
            return loss

        loss_d = opt_d.step(judge)
        monitor.observe(real=x, fake=y, losses={"d": loss_d})


def mixed_batch_without_normalization() -> None:
    """Reals and fakes in one batch of a discriminator that judges samples one by one."""
    g, d = generator(), discriminator(norm=nn.LayerNorm)
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(torch.cat([x, y.detach()])).chunk(2)
        (softplus(-r) + softplus(f)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(y)).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def pooled_fakes_and_wrong_pairs() -> None:
    """Old fakes from a pool, and reals with a wrong condition judged as fakes."""
    g, d = (
        generator(),
        nn.Sequential(nn.Linear(PIXELS + 1, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1)),
    )
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    pool = g(latent()).detach()
    right, wrong = torch.ones(BATCH, 1), torch.zeros(BATCH, 1)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(torch.cat([x, right], 1)), d(torch.cat([pool, right], 1))
        mismatched = d(torch.cat([x, wrong], 1))
        (softplus(-r) + softplus(f) + softplus(mismatched)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(torch.cat([y, right], 1))).mean().backward()
        opt_g.step()
        pool = torch.cat([pool[8:], y[:8].detach()])
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


def gradients_set_by_hand() -> None:
    """Extragradient with autograd.grad: gradients are put in place by the loop itself."""
    g, d = generator(), discriminator()
    opt_g, opt_d = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (g, d))
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, z = data(), latent()
        kept = [p.detach().clone() for p in itertools.chain(g.parameters(), d.parameters())]
        for half in (True, False):
            y = g(z)
            r, f, h = d(x), d(y.detach()), d(y)
            loss_d = (softplus(-r) + softplus(f)).mean()
            slopes_d = torch.autograd.grad(loss_d, list(d.parameters()))
            slopes_g = torch.autograd.grad(softplus(-h).mean(), list(g.parameters()))
            if not half:
                with torch.no_grad():
                    for p, old in zip([*g.parameters(), *d.parameters()], kept, strict=True):
                        p.copy_(old)
            for module, slopes in ((g, slopes_g), (d, slopes_d)):
                for p, slope in zip(module.parameters(), slopes, strict=True):
                    p.grad = slope
            opt_g.step()
            opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def standardized_data_unbounded_generator() -> None:
    """Data of spread 1 and up to 4, a generator that ends in a linear layer."""
    g, d = generator(nn.Identity()), discriminator()
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = 4 * data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        (relu(1 - r) + relu(1 + f)).mean().backward()
        opt_d.step()
        opt_g.zero_grad()
        (-d(y)).mean().backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f)


MANNERS = (
    float16_scaled,
    bfloat16,
    two_discriminators,
    paired_with_features,
    adaptive_weight,
    generator_called_twice,
    manual_optimization,
    mixed_batch_without_normalization,
    pooled_fakes_and_wrong_pairs,
    gradients_set_by_hand,
    standardized_data_unbounded_generator,
)
