"""Loops with one planted fault each; its line says FAULT."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce
from torch.nn.functional import mse_loss, relu, softplus

from benchmarks.faults.wiring.parts import (
    ITERATIONS,
    adam,
    data,
    discriminator,
    game,
    generator,
    latent,
    watch,
)


def missing_detach_unzeroed() -> None:
    """The discriminator's loss reaches the generator, whose gradient is zeroed too early."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        opt_g.zero_grad()
        opt_d.zero_grad()
        x, y = data(), g(latent())
        r, f = d(x), d(y)  # FAULT: y.detach()
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        loss_g = softplus(-d(g(latent()))).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def missing_detach_two_backwards() -> None:
    """The same where reals and fakes have a backward pass of their own."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        d.zero_grad()
        g.zero_grad()
        x, y = data(), g(latent())
        r = d(x)
        bce(r, torch.ones_like(r)).backward()
        f = d(y)  # FAULT: y.detach()
        bce(f, torch.zeros_like(f)).backward()
        opt_d.step()
        h = d(g(latent()))
        bce(h, torch.ones_like(h)).backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, generator_logits=h)


def generator_gradient_left_in_discriminator() -> None:
    """The generator's backward pass fills the discriminator too, which nobody zeroes."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        opt_g.zero_grad()
        x, y = data(), g(latent())
        loss_g = relu(1 - d(y)).mean()
        loss_g.backward()
        opt_g.step()
        r, f = d(x), d(y.detach())
        loss_d = (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()  # FAULT: opt_d.zero_grad() before
        opt_d.step()
        opt_d.zero_grad()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def stale_discriminator() -> None:
    """The discriminator's gradient is never zeroed; it is frozen in the generator's step."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        d.requires_grad_(True)
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()  # FAULT: opt_d.zero_grad() before
        opt_d.step()
        d.requires_grad_(False)
        opt_g.zero_grad()
        loss_g = softplus(-d(y)).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def stale_generator() -> None:
    """The generator's gradient is never zeroed."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = f.mean() - r.mean()
        loss_d.backward()
        opt_d.step()
        loss_g = -d(g(latent())).mean()
        loss_g.backward()  # FAULT: opt_g.zero_grad() before
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def wrong_optimizer() -> None:
    """The discriminator's optimizer was built over the generator."""
    g, d = generator(), discriminator()
    opt_g, opt_d = adam(g), adam(g)  # FAULT: adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = softplus(-d(y)).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def both_in_one_discriminator_optimizer() -> None:
    """The discriminator's optimizer holds both players' parameters."""
    g, d = generator(), discriminator()
    opt_d = torch.optim.Adam([*d.parameters(), *g.parameters()], lr=1e-3)  # FAULT: d alone
    opt_g = adam(g)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = softplus(-d(g(latent()))).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def _plain(
    g: nn.Module,
    d: nn.Module,
    opt_g: torch.optim.Optimizer,
    opt_d: torch.optim.Optimizer,
    *,
    steps: str = "dg",
    labels: tuple[float, float, float] = (1.0, 0.0, 1.0),
    scale: float = 1.0,
    shift: float = 0.0,
    no_grad: bool = False,
    detach: bool = False,
    erase: str = "",
    squares: bool = False,
) -> None:
    """The textbook loop, in which one argument plants one fault.

    `labels`: of reals and fakes in the discriminator's loss, of fakes in the generator's.
    """
    monitor = watch(g, d, opt_g, opt_d)
    loss = mse_loss if squares else bce
    real, fake, wanted = labels
    for _ in range(ITERATIONS):
        x, y = scale * data() + shift, g(latent()).detach()
        opt_d.zero_grad()
        r, f = d(x), d(y)
        loss_d = loss(r, torch.full_like(r, real)) + loss(f, torch.full_like(f, fake))
        loss_d.backward()
        if "d" in erase:
            opt_d.zero_grad()
        if "d" in steps:
            opt_d.step()
        opt_g.zero_grad()
        with torch.set_grad_enabled(not no_grad):
            z = g(latent())
        h = d(z.detach() if detach else z)
        loss_g = loss(h, torch.full_like(h, wanted))
        loss_g.backward()
        if "g" in erase:
            opt_g.zero_grad()
        if "g" in steps:
            opt_g.step()
        given = {"real_logits": r, "fake_logits": f, "generator_logits": h}
        monitor.observe(real=x, fake=y, losses={"d": loss_d, "g": loss_g}, **given)


def generator_never_stepped() -> None:
    """The generator's optimizer is never stepped."""
    _plain(*game(), steps="d")


def discriminator_never_stepped() -> None:
    """The discriminator's optimizer is never stepped."""
    _plain(*game(), steps="g")


def zeroed_before_step() -> None:
    """zero_grad stands between the generator's backward pass and its step."""
    _plain(*game(), erase="g")


def learning_rate_zero() -> None:
    """A schedule has ended the discriminator's learning rate."""
    g, d = generator(), discriminator()
    _plain(g, d, adam(g), adam(d, lr=0.0))


def frozen_generator() -> None:
    """requires_grad_(False) was left on the generator."""
    g, d, opt_g, opt_d = game()
    g.requires_grad_(False)
    _plain(g, d, opt_g, opt_d)


def swapped_in_discriminator() -> None:
    """The discriminator learns that reals are 0 and fakes are 1."""
    _plain(*game(), labels=(0.0, 1.0, 1.0))


def swapped_in_generator() -> None:
    """The generator learns to make what the discriminator calls fake."""
    _plain(*game(), labels=(1.0, 0.0, 0.0))


def swapped_in_generator_least_squares() -> None:
    """The same with least squares, whose gradients change sign near a label."""
    _plain(*game(), labels=(1.0, 0.0, 0.0), squares=True)


def one_label_for_both() -> None:
    """The discriminator learns that everything is real."""
    _plain(*game(), labels=(1.0, 1.0, 1.0))


def one_label_least_squares() -> None:
    """The discriminator learns that everything is fake, by least squares."""
    _plain(*game(), labels=(0.0, 0.0, 1.0), squares=True)


def sign_lost_in_wasserstein() -> None:
    """The critic's loss adds the means that it should subtract."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = -(f.mean() - r.mean())  # FAULT: the minus
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = -d(g(latent())).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def no_grad_around_generator() -> None:
    """The generator's own step runs it under no_grad."""
    _plain(*game(), no_grad=True)


def detached_in_generator_step() -> None:
    """The generator's own step judges detached fakes."""
    _plain(*game(), detach=True)


def adversarial_term_detached() -> None:
    """Beside a reconstruction loss the adversarial term judges detached samples."""
    g, d = (
        nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 12), nn.Tanh()),
        discriminator(),
    )
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x = data()
        y = g(x)
        loss_g = mse_loss(y, x) - 0.1 * d(y.detach()).mean()  # FAULT: the detach
        opt_g.zero_grad()
        loss_g.backward()
        opt_g.step()
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (relu(1 - r) + relu(1 + f)).mean()
        loss_d.backward()
        opt_d.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def bytes_against_tanh() -> None:
    """Reals in [0, 255], fakes in [-1, 1]."""
    _plain(*game(), scale=127.5, shift=127.5)


def unit_interval_against_tanh() -> None:
    """Reals in [0, 1], fakes in [-1, 1]."""
    _plain(*game(), scale=0.55, shift=0.5)


def reals_out_of_sigmoid() -> None:
    """Reals in [-1, 1], fakes in [0, 1]."""
    g, d = generator(nn.Sigmoid()), discriminator()
    _plain(g, d, adam(g), adam(d))


def sigmoid_twice() -> None:
    """The discriminator ends in a sigmoid and the loss applies another."""
    g, d = generator(), discriminator(nn.Sigmoid())
    _plain(g, d, adam(g), adam(d))


def broadcast_pairs() -> None:
    """Relativistic logits (N, 1) meet (N,): every real is compared with every fake."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach()).squeeze(1)  # FAULT: squeeze both or none
        loss_d = softplus(f - r).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = softplus(d(x).detach() - d(g(latent()))).mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def broadcast_labels() -> None:
    """Logits (N, 1) meet labels (N,) in a squared error written by hand."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        labels = 1 - 0.1 * torch.rand(len(x))
        loss_d = (r - labels).square().mean() + f.square().mean()  # FAULT: labels[:, None]
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        loss_g = (d(g(latent())) - 1).square().mean()
        loss_g.backward()
        opt_g.step()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def mixed_batch_normalization() -> None:
    """One normalized batch of reals and fakes in the discriminator's step, fakes alone after."""
    g, d = generator(), discriminator(norm=nn.BatchNorm1d)
    opt_g, opt_d = adam(g), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(torch.cat([x, y.detach()])).chunk(2)  # FAULT: d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        h = d(g(latent()))
        softplus(-h).mean().backward()
        opt_g.step()
        given = {"real_logits": r, "fake_logits": f, "generator_logits": h}
        monitor.observe(real=x, fake=y, losses={"d": loss_d}, **given)


def updates_lost_in_bfloat16() -> None:
    """Weights in bfloat16 with a learning rate under their resolution."""
    g, d = generator().bfloat16(), discriminator()
    with torch.no_grad():
        for p in g.parameters():
            p.add_(torch.where(p < 0, -1.0, 1.0).to(p.dtype))
    opt_g, opt_d = torch.optim.SGD(g.parameters(), lr=1e-6), adam(d)
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent().bfloat16()).float()
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        softplus(-d(y)).mean().backward()
        opt_g.step()  # FAULT: float32 weights
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


def float16_unscaled() -> None:
    """The generator's gradient in float16 without a scaler, from a loss of small weight."""
    g, d, opt_g, opt_d = game()
    monitor = watch(g, d, opt_g, opt_d)
    for _ in range(ITERATIONS):
        x, y = data(), g(latent())
        opt_d.zero_grad()
        r, f = d(x), d(y.detach())
        loss_d = (softplus(-r) + softplus(f)).mean()
        loss_d.backward()
        opt_d.step()
        opt_g.zero_grad()
        half = d.half()
        loss_g = 1e-6 * softplus(-half(y.half())).mean()  # FAULT: scaler.scale(loss_g)
        (loss_g + y.square().mean()).backward()
        opt_g.step()
        d.float()
        monitor.observe(real=x, fake=y, real_logits=r, fake_logits=f, losses={"d": loss_d})


FAULTS = {
    missing_detach_unzeroed: ("gradient_leak",),
    missing_detach_two_backwards: ("gradient_leak",),
    generator_gradient_left_in_discriminator: ("gradient_leak",),
    stale_discriminator: ("gradient_leak",),
    stale_generator: ("gradient_leak",),
    wrong_optimizer: ("gradient_leak",),
    both_in_one_discriminator_optimizer: ("gradient_leak",),
    generator_never_stepped: ("stalled_player",),
    discriminator_never_stepped: ("stalled_player",),
    zeroed_before_step: ("stalled_player", "no_gradient_to_generator"),
    learning_rate_zero: ("stalled_player",),
    frozen_generator: ("stalled_player",),
    swapped_in_discriminator: ("swapped_labels",),
    swapped_in_generator: ("swapped_labels",),
    swapped_in_generator_least_squares: ("swapped_labels",),
    one_label_for_both: ("swapped_labels",),
    one_label_least_squares: ("swapped_labels",),
    sign_lost_in_wasserstein: ("swapped_labels",),
    no_grad_around_generator: ("no_gradient_to_generator",),
    detached_in_generator_step: ("no_gradient_to_generator",),
    adversarial_term_detached: ("no_gradient_to_generator",),
    bytes_against_tanh: ("data_range_mismatch",),
    unit_interval_against_tanh: ("data_range_mismatch",),
    reals_out_of_sigmoid: ("data_range_mismatch",),
    sigmoid_twice: ("swapped_labels",),
    broadcast_pairs: ("swapped_labels",),
    broadcast_labels: ("swapped_labels",),
    mixed_batch_normalization: ("batch_norm_leak",),
    updates_lost_in_bfloat16: ("precision_underflow",),
    float16_unscaled: ("precision_underflow",),
}
"""Each fault and its right names, the first of which is the best."""
