"""The fault library: what goes wrong in adversarial training, planted one at a time."""
