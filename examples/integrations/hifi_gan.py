"""The shape of HiFi-GAN: lists of period and scale discriminators with their feature maps.

Least squares over both lists, feature matching twice, and the spectrum's L1 at weight 45; the
discriminators share one optimizer. The lines marked `# equipoise` are all it takes.

--bug: the schedulers are stepped after every batch with a decay that was meant for an epoch, so
that the learning rates die (coqui-ai/TTS#1003 reached 7e-111). All losses look plausible.
"""

import itertools

import torch
from parts import options, sounds, tell
from torch import nn
from torch.nn.functional import leaky_relu

import equipoise  # equipoise

BATCH, EPOCH, HOP = 8, 100, 8


class ScaleDiscriminator(nn.Module):
    """Judges a waveform at one rate, or folded at one period: (logits, features)."""

    def __init__(self, period=1, pool=1, width=8):
        super().__init__()
        self.period, self.pool = period, nn.AvgPool1d(pool) if pool > 1 else nn.Identity()
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(1, width, (5, 1), (3, 1), (2, 0)),
                nn.Conv2d(width, 2 * width, (5, 1), (3, 1), (2, 0)),
            ]
        )
        self.post = nn.Conv2d(2 * width, 1, (3, 1), 1, (1, 0))

    def forward(self, x):
        x = self.pool(x)
        x = x[..., : x.shape[-1] // self.period * self.period]
        x = x.view(len(x), 1, -1, self.period)
        features = []
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.1)
            features.append(x)
        x = self.post(x)
        return x.flatten(1), [*features, x]


class Many(nn.Module):
    """Several discriminators, called as HiFi-GAN does: one list of (logits, features)."""

    def __init__(self, parts):
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, y):
        return [part(y) for part in self.parts]


def generator():
    """Spectrum frames (N, HOP, T) to a waveform (N, 1, HOP * T)."""
    return nn.Sequential(
        nn.Conv1d(HOP, 32, 7, 1, 3),
        nn.LeakyReLU(0.1),
        nn.ConvTranspose1d(32, 16, 8, 4, 2),
        nn.LeakyReLU(0.1),
        nn.ConvTranspose1d(16, 16, 4, 2, 1),
        nn.LeakyReLU(0.1),
        nn.Conv1d(16, 1, 7, 1, 3),
        nn.Tanh(),
    )


def spectrum(y):
    """Log magnitudes of frames of 2 HOP samples at every HOP: (N, HOP, T)."""
    frames = nn.functional.pad(y, (HOP // 2, HOP // 2)).unfold(-1, 2 * HOP, HOP).squeeze(1)
    size = torch.fft.rfft(frames * torch.hann_window(2 * HOP)).abs()[..., :HOP]
    return torch.log(size.clamp_min(0.05)).transpose(1, 2)


def feature_loss(real, fake):
    pairs = [
        (r, f) for a, b in zip(real, fake, strict=True) for r, f in zip(a[1], b[1], strict=True)
    ]
    return 2 * sum((r.detach() - f).abs().mean() for r, f in pairs)


def train(steps, bug):
    net = generator()
    mpd = Many(ScaleDiscriminator(period) for period in (2, 3))
    msd = Many([ScaleDiscriminator(), ScaleDiscriminator(pool=2)])
    both = itertools.chain(mpd.parameters(), msd.parameters())
    optim_g = torch.optim.AdamW(net.parameters(), lr=2e-3, betas=(0.8, 0.99))
    optim_d = torch.optim.AdamW(both, lr=1e-4, betas=(0.8, 0.99))
    decays = [torch.optim.lr_scheduler.ExponentialLR(o, gamma=0.8) for o in (optim_g, optim_d)]
    judges = {"mpd": mpd, "msd": msd}  # equipoise
    options = {"schedule": "fixed", "tick": 10}  # equipoise
    monitor = equipoise.Monitor(net, judges, optim_g, optim_d, **options)  # equipoise
    monitor.audit()  # equipoise

    for step in range(1, steps + 1):
        y = sounds(BATCH)
        mel = spectrum(y)[..., : y.shape[-1] // HOP]
        y_g_hat = net(mel)

        optim_d.zero_grad()
        real, fake = mpd(y) + msd(y), mpd(y_g_hat.detach()) + msd(y_g_hat.detach())
        loss_disc = sum(((1 - r[0]) ** 2).mean() for r in real)
        loss_disc = loss_disc + sum((f[0] ** 2).mean() for f in fake)
        loss_disc.backward()
        optim_d.step()

        optim_g.zero_grad()
        seen_real, seen_fake = mpd(y) + msd(y), mpd(y_g_hat) + msd(y_g_hat)
        loss_mel = (mel - spectrum(y_g_hat)[..., : mel.shape[-1]]).abs().mean()
        loss_adv = sum(((1 - f[0]) ** 2).mean() for f in seen_fake)
        loss_gen = loss_adv + feature_loss(seen_real, seen_fake) + 45 * loss_mel
        loss_gen.backward()
        optim_g.step()
        if bug or step % EPOCH == 0:
            for decay in decays:
                decay.step()

        losses = {"discriminator": loss_disc, "generator": loss_adv, "mel": loss_mel}  # equipoise
        seen = {"real": y, "fake": y_g_hat, "losses": losses}  # equipoise
        monitor.observe(real_logits=real, fake_logits=fake, **seen)  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=200)
    train(chosen.steps, chosen.bug)
