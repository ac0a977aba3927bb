"""Checks of the condition: do labels reach what takes them?"""

from __future__ import annotations

from equipoise.clinic.preflight.entry import Check, Facts, Said

PLAYERS = ("generator", "discriminator")


def labels_ignored(facts: Facts) -> Said | None:
    deaf = [name for name in PLAYERS if facts.get(f"{name}/label_matters") is False]
    if not deaf:
        return None
    return Said(
        f"The {' and the '.join(deaf)} takes labels and gives the same output for others, whatever"
        " its weights.",
        tuple((f"{n}/label_matters", 0.0, "1: another label, another output") for n in deaf),
        0.95,
    )


def judged_without(facts: Facts) -> Said | None:
    """Several outputs may hold an auxiliary classifier, which asks for the label in its own way."""
    if not facts["generator/labels"] or facts["discriminator/labels"]:
        return None
    if facts["discriminator/outputs"] > 1 or facts["discriminator/logits_per_sample"] > 1:
        return None
    return Said(
        "The generator is given labels and the discriminator is not: nothing asks that a sample"
        " show its label.",
        (("discriminator/labels", 0.0, "1: it is given the labels too"),),
        0.8,
    )


def deaf_layers(facts: Facts) -> Said | None:
    for name in PLAYERS:
        layers = facts.get(f"{name}/deaf_layers")
        if layers and facts.get(f"{name}/label_matters"):
            return Said(
                f"Of the {name}'s layers that are given the labels, these do nothing with them:"
                f" {', '.join(layers)}."
            )
    return None


CHECKS = (
    Check(
        "labels_matter",
        "condition_ignored",
        (),
        "whether labels change the output",
        "no difference, also with other weights",
        "exact; claim 67",
        "feed the label to the layers (embedding, conditional normalization, projection)",
        labels_ignored,
    ),
    Check(
        "labels_judged",
        "condition_ignored",
        (
            "generator/labels",
            "discriminator/labels",
            "discriminator/outputs",
            "discriminator/logits_per_sample",
        ),
        "whether the discriminator is given the labels",
        "generator conditional, discriminator not",
        "Mirza and Osindero 2014, equation 2; claim 67",
        "give the discriminator the label too: projection, or an auxiliary classifier",
        judged_without,
    ),
    Check(
        "deaf_layers",
        None,
        (),
        "layers that take labels",
        "no difference, also with other weights",
        "exact",
        "Look whether their condition is used, or drop the argument.",
        deaf_layers,
    ),
)
