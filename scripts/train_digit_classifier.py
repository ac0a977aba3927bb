"""Train the digit classifier whose features the `digits_cnn` metrics use.

Deterministic: one thread, one seed, the split of `equipoise.data.digits.split()`. Prints the
accuracy on the held-out fifth and the checksum that belongs into `equipoise/features/digits.py`.

    python scripts/train_digit_classifier.py [OUTPUT]
"""

from __future__ import annotations

import hashlib
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save

from equipoise.data.augment import augment
from equipoise.data.digits import digits, labels, split
from equipoise.data.randomness import generator_for
from equipoise.features import digits as features

SEED = 0
EPOCHS = 40
BATCH = 64
SMOOTHING = 0.1
LEAST_ACCURACY = 0.97


def main() -> int:
    """Train, measure, write; 1 if the accuracy falls short."""
    torch.set_num_threads(1)
    started = time.perf_counter()
    kept, held_out = split()
    classifier = trained(digits()[kept], labels()[kept])
    accuracy = measured(classifier, digits()[held_out], labels()[held_out])
    default = Path(features.__file__).parent / features.WEIGHTS
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else default
    data = save({k: v.contiguous() for k, v in classifier.state_dict().items()})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_bytes(data)
    print(f"accuracy {accuracy:.4f} on {len(held_out)} held-out digits")
    print(f"sha256 {hashlib.sha256(data).hexdigest()}")
    print(f"{output}: {len(data)} bytes, {time.perf_counter() - started:.1f} s")
    return 0 if accuracy >= LEAST_ACCURACY else 1


def trained(images: torch.Tensor, targets: torch.Tensor) -> features.DigitClassifier:
    """A classifier fitted to shifted copies of `images` (N, 1, 8, 8), learning rate to zero."""
    torch.manual_seed(SEED)
    classifier = features.DigitClassifier().train()
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = EPOCHS * (len(images) // BATCH)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for epoch in range(EPOCHS):
        generator = generator_for(SEED, "classifier", epoch)
        order = torch.randperm(len(images), generator=generator)
        for index in order.split(BATCH):
            if len(index) < BATCH:
                continue
            logits = classifier(augment(images[index], generator, crop=1))
            loss = F.cross_entropy(logits, targets[index], label_smoothing=SMOOTHING)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            decay.step()
    return restandardized(classifier, images)


def restandardized(
    classifier: features.DigitClassifier, images: torch.Tensor
) -> features.DigitClassifier:
    """The classifier with feature statistics of the unshifted `images` in place of running ones."""
    *body, standardize = classifier.eval().features
    with torch.no_grad():
        raw = torch.nn.Sequential(*body)(images)
    standardize.running_mean.copy_(raw.mean(dim=0))
    standardize.running_var.copy_(raw.var(dim=0))
    return classifier


def measured(
    classifier: features.DigitClassifier, images: torch.Tensor, targets: torch.Tensor
) -> float:
    """Share of `images` whose likeliest class is their target."""
    with torch.no_grad():
        return float((classifier(images).argmax(dim=1) == targets).float().mean())


if __name__ == "__main__":
    sys.exit(main())
