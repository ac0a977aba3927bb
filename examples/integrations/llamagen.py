"""The shape of LlamaGen's tokenizer training: autocast, two gradient scalers, separate backwards.

A small quantized autoencoder with the non-saturating loss at a fixed weight. The lines
marked `# equipoise` are all it takes.

--bug: the arguments of the discriminator's non-saturating loss are swapped
(FoundationVision/LlamaGen#84): it learns to call reals fake, and the generator follows it there.
"""

import torch
from parts import Autoencoder, options, patch_discriminator, pictures, tell
from torch.nn.functional import binary_cross_entropy_with_logits as cross_entropy
from torch.nn.functional import mse_loss

import equipoise  # equipoise

BATCH = 16


class Quantized(Autoencoder):
    """The autoencoder with latents rounded to nine values, the gradient passed straight through.

    A codebook of this size would collapse on so few pictures, with or without a discriminator.
    """

    def forward(self, x):
        h = 4 * torch.tanh(self.encoder(x).float())
        return self.last(self.decoder((h + (h.round() - h).detach()) / 4))


def non_saturating_d_loss(logits_real, logits_fake):
    real = cross_entropy(logits_real, torch.ones_like(logits_real))
    fake = cross_entropy(logits_fake, torch.zeros_like(logits_fake))
    return 0.5 * (real + fake)


def train(steps, bug, disc_weight=0.02):
    vq_model, discriminator = Quantized(), patch_discriminator()
    optimizer = torch.optim.AdamW(vq_model.parameters(), lr=2e-3, betas=(0.9, 0.95))
    optimizer_disc = torch.optim.AdamW(discriminator.parameters(), lr=2e-4, betas=(0.9, 0.95))
    scaler, scaler_disc = torch.amp.GradScaler("cpu"), torch.amp.GradScaler("cpu")
    watched = vq_model, discriminator, optimizer, optimizer_disc  # equipoise
    monitor = equipoise.Monitor(*watched, schedule="fixed", tick=10)  # equipoise
    monitor.audit()  # equipoise

    for _ in range(steps):
        images = pictures(BATCH)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            recons = vq_model(images)
            logits = discriminator(recons)
        reconstruction = mse_loss(images, recons.float())
        adversarial = cross_entropy(logits.float(), torch.ones_like(logits, dtype=torch.float32))
        loss_gen = reconstruction + disc_weight * adversarial
        scaler.scale(loss_gen).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(vq_model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()

        optimizer_disc.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            logits_real, logits_fake = discriminator(images), discriminator(recons.detach())
        pair = (logits_fake, logits_real) if bug else (logits_real, logits_fake)
        loss_disc = non_saturating_d_loss(*(side.float() for side in pair))
        scaler_disc.scale(loss_disc).backward()
        scaler_disc.unscale_(optimizer_disc)
        torch.nn.utils.clip_grad_norm_(discriminator.parameters(), 1.0)
        scaler_disc.step(optimizer_disc)
        scaler_disc.update()

        seen = {"real_logits": logits_real, "fake_logits": logits_fake}  # equipoise
        seen |= {"real": images, "fake": recons, "generator_logits": logits}  # equipoise
        losses = {"discriminator": loss_disc, "generator": adversarial}  # equipoise
        monitor.observe(**seen, losses=losses | {"reconstruction": reconstruction})  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=300)
    train(chosen.steps, chosen.bug)
