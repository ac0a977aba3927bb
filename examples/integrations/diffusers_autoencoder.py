"""The shape of diffusers' train_autoencoderkl.py: Accelerate, the players in alternating steps.

Even steps are the autoencoder's, odd ones the discriminator's; the discriminator's loss counts
from `disc_start` on. The lines marked `# equipoise` are all it takes.

--bug: the discriminator's backward pass is there and its optimizer's step is not, as in the script
from 2025-01-27 to 2025-03-19 (huggingface/diffusers#10605).
"""

import torch
from accelerate import Accelerator
from parts import Autoencoder, options, patch_discriminator, pictures, tell
from torch.nn.functional import relu

import equipoise  # equipoise

BATCH = 16


def train(steps, bug, disc_start=40):
    accelerator = Accelerator(cpu=True)
    model, discriminator = Autoencoder(), patch_discriminator()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    disc_optimizer = torch.optim.AdamW(discriminator.parameters(), lr=1e-3)
    loader = torch.utils.data.DataLoader(pictures(BATCH * steps), BATCH)
    model, discriminator, optimizer, disc_optimizer, loader = accelerator.prepare(
        model, discriminator, optimizer, disc_optimizer, loader
    )
    watched = model, discriminator, optimizer, disc_optimizer  # equipoise
    options = {"adversarial_start": disc_start, "stride": 5, "tick": 10}  # equipoise
    monitor = equipoise.Monitor(*watched, schedule="fixed", **options)  # equipoise

    for step, real in enumerate(loader):
        started = step >= disc_start
        fake = model(real)
        if step % 2 == 0 or not started:
            logits = discriminator(fake)
            reconstruction = (real - fake).abs().mean()
            loss = reconstruction + 0.05 * started * -logits.mean()
            seen = {"generator_logits": logits, "losses": {"l1": reconstruction}}  # equipoise
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        else:
            real_logits, fake_logits = discriminator(real), discriminator(fake.detach())
            loss = relu(1 - real_logits).mean() + relu(1 + fake_logits).mean()
            seen = {"real_logits": real_logits, "fake_logits": fake_logits}  # equipoise
            seen["losses"] = {"discriminator": loss}  # equipoise
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(discriminator.parameters(), 1.0)
            if not bug:
                disc_optimizer.step()
        optimizer.zero_grad()
        disc_optimizer.zero_grad()

        monitor.observe(real=real, fake=fake, **seen)  # equipoise

    tell(monitor)  # equipoise


if __name__ == "__main__":
    chosen = options(__doc__, steps=500)
    train(chosen.steps, chosen.bug)
