"""The pieces of a recipe: frozen, typed, each field with its unit and range.

Names of game parts (objective, penalty, optimizer, ...) are plain strings; `equipoise.training`
looks each up in the table beside its function. `equipoise list FAMILY` prints the tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializationInfo,
)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]
SharePositive = Annotated[float, Field(gt=0, le=1)]
Below = Annotated[float, Field(ge=0, lt=1)]
LessThanHalf = Annotated[float, Field(ge=0, lt=0.5)]
Momentum = Annotated[float, Field(gt=-1, lt=1)]
Player = Literal["generator", "discriminator"]


class Part(BaseModel):
    """A frozen piece of a recipe that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())


class Schedule(Part):
    """A factor: value(t) = base x factor(t), t in [0, 1] over `kimg` (None: the budget).

    linear: start + (end - start) t; cosine: end + (start - end) (1 + cos(pi t)) / 2;
    exponential: start (end / start)^t; constant: start. With `kimg` below the budget it is a
    burn-in: `end` holds from there on.
    """

    shape: Literal["constant", "linear", "cosine", "exponential"] = "constant"
    start: NonNegative = 1.0
    end: NonNegative = 1.0
    kimg: Positive | None = None


class BurnIn(Part):
    """From the value `start` to the field's own over the first `kimg`, along `shape`."""

    start: Positive
    kimg: Positive
    shape: Literal["linear", "cosine", "exponential"] = "cosine"


class Augment(Part):
    """Changes of the reals alone, off by default: the generator learns them too (they leak)."""

    flip: bool = False
    crop: Annotated[int, Field(ge=0, description="pixels of reflected border to crop from")] = 0
    color: Annotated[float, Field(ge=0, le=1, description="largest shift and gain")] = 0.0

    @property
    def active(self) -> bool:
        """Whether any of it is on."""
        return self.flip or self.crop > 0 or self.color > 0


class Curriculum(Part):
    """Core first: the most typical `start` of the data, linearly to all of it over `kimg`."""

    start: SharePositive
    kimg: Positive


class Data(Part):
    """Where reals come from: "ring", "grid", "digits", or "folder" with its path.

    `limit` samples are trained on; `held_out` of all samples never are, and serve to tell learning
    from memorizing. Metrics judge against everything.
    """

    kind: str
    path: str | None = None
    resolution: Annotated[int | None, Field(ge=4, description="pixels; folder only")] = None
    channels: Literal[1, 3] | None = None
    augment: Augment = Augment()
    curriculum: Curriculum | None = None
    limit: Count | None = None
    held_out: Annotated[float, Field(ge=0, le=0.5)] = 0.0


class Network(Part):
    """A player's architecture; `width`: units per layer (mlp), channels at full size (images).

    `initializer` draws the first weights anew (None: the family's own); `equalized` divides every
    weight's learning rate by its fan-in's root; `attention` adds one layer of it (images).
    """

    family: str
    width: Count = 64
    depth: Annotated[int, Field(ge=1, description="hidden layers (mlp)")] = 3
    normalization: str = "none"
    initializer: str | None = None
    equalized: bool = False
    attention: bool = False
    dropout: Below = 0.0


class Generator(Network):
    """The generator; z ~ N(0, I) of `z_dim` dimensions."""

    z_dim: Count = 64


class Discriminator(Network):
    """The discriminator; `pack` samples are judged together, `minibatch` statistics added."""

    pack: Count = 1
    minibatch: str = "none"


class Growth(Part):
    """Progressive growing: from `start` pixels, `stage_kimg` each size, `fade_kimg` in between."""

    start: Annotated[int, Field(ge=4, description="pixels")] = 4
    stage_kimg: Positive
    fade_kimg: Positive


class Objective(Part):
    """The adversarial loss by name, and its labels where it has some.

    `label_smoothing` s moves the real target from 1 to 1 - s, `fake_smoothing` s the fake one from
    0 to s, `label_flip` turns each label with that probability; `labels` are least squares' a
    (fake), b (real) and c (what the generator aims at).
    """

    name: str
    label_smoothing: LessThanHalf = 0.0
    fake_smoothing: LessThanHalf = 0.0
    label_flip: LessThanHalf = 0.0
    labels: tuple[Finite, Finite, Finite] | None = None


class Penalty(Part):
    """A penalty's weight as its paper writes it: gamma / 2 for R1 and R2, lambda else; 0 is off.

    `every` k > 1 is lazy: paid at every k-th update, k times as strong.
    """

    gamma: NonNegative = 0.0
    schedule: Schedule = Schedule()
    every: Count = 1


class Slopes(Part):
    """Units of input gradients, so that gamma keeps its meaning; see `game.Setting`."""

    per_patch: bool = False
    per_pixel: bool = False


class Consistency(Part):
    """What CR, bCR and zCR compare: T = `policy` of ADA's parts, then noise of `sigma`.

    `latent_sigma` is the step dz of zCR and of the generator's latent spread.
    """

    policy: str = ""
    sigma: NonNegative = 0.0
    latent_sigma: Positive = 0.05


class LeCam(Part):
    """LeCam's anchors: `decay` of the old average at each update."""

    decay: Below = 0.99


class Constraint(Part):
    """What the discriminator's weights are held to after each of its steps."""

    name: str = "weight_clipping"
    bound: Positive = 0.01


class Augmentation(Part):
    """Inside the discriminator, reals and fakes alike, in both players' losses.

    "ada" strikes each image with probability `p` by each part; with `target` p follows r_t at
    `speed_kimg` for the way from 0 to 1. "diffaugment" has no p. `policy` names parts, None is all.
    """

    name: str = "none"
    policy: str | None = None
    p: Share | None = None
    target: Annotated[float | None, Field(gt=-1, lt=1, description="of r_t")] = None
    speed_kimg: Positive = 500.0


class PseudoReal(Part):
    """APA: each real is replaced by a fake with probability `p`, which may follow r_t."""

    p: Share = 0.0
    target: Annotated[float | None, Field(gt=-1, lt=1, description="of r_t")] = None
    speed_kimg: Positive = 500.0


class Sigma(Part):
    """Standard deviation of Gaussian noise; 0 is off."""

    sigma: NonNegative = 0.0
    schedule: Schedule = Schedule()


class Noise(Part):
    """Noise in training: on what the discriminator sees, between its layers, on its logits, on z.

    Input noise is instance noise, reals and fakes alike.
    """

    input: Sigma = Sigma()
    hidden: Sigma = Sigma()
    output: Sigma = Sigma()
    latent: Sigma = Sigma()


class FeatureMatching(Part):
    """The discriminator's features in the generator's loss, `gamma` times; 0 is off.

    Means over the batch of each hidden layer are compared (Salimans et al. 2016): samples have no
    partners here.
    """

    gamma: NonNegative = 0.0


class Weighting(Part):
    """How the adversarial term is weighed against feature matching (`equipoise list weightings`).

    fixed: `weight`, after a ramp over `ramp_kimg` from `start_kimg`. adaptive: `weight` times the
    ratio of gradient norms at the generator's output. balancer: shares of the gradient there. With
    `patience_kimg` the ramp waits until the other term has not improved by 1 % for so long.
    """

    name: str = "fixed"
    weight: NonNegative = 1.0
    start_kimg: NonNegative = 0.0
    ramp_kimg: NonNegative = 0.0
    patience_kimg: Positive | None = None
    largest: Positive = 1e4
    largest_share: Positive | None = None


class Switch(Part):
    """Another optimizer from `kimg` on, its moments fresh."""

    kimg: Positive
    name: str
    lr: Positive = 2e-4
    beta1: Momentum = 0.0
    beta2: Below = 0.99
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0


class Optimizer(Part):
    """One player's optimizer; `clip_norm` and `clip_value` bound its gradients before the step."""

    name: str = "adam"
    lr: Positive = 2e-4
    beta1: Momentum = 0.0
    beta2: Below = 0.99
    eps: Positive = 1e-8
    weight_decay: NonNegative = 0.0
    schedule: Schedule = Schedule()
    beta2_burn_in: BurnIn | None = None
    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    switch: Switch | None = None


class Optimizers(Part):
    """An optimizer for each player."""

    generator: Optimizer = Optimizer()
    discriminator: Optimizer = Optimizer()


class Hold(Part):
    """Dynamic balance: a player who is ahead rests.

    The discriminator rests while the moving average of `signal` is above `high`, the generator
    while it is below `low`. accuracy: share of pairs with D(x) > D(G(z)), 0.5 at chance; r_t:
    E[sign D(x)], 0 at chance.
    """

    signal: Literal["accuracy", "r_t"] = "accuracy"
    low: Finite
    high: Finite
    decay: Below = 0.9


class Unroll(Part):
    """The generator plays against the discriminator `steps` gradient steps of `lr` ahead."""

    steps: Count = 5
    lr: Positive
    through: bool = True


class TopK(Part):
    """The generator learns from its k best fakes: k = max(gamma^epoch, floor) batch."""

    gamma: SharePositive = 0.99
    floor: SharePositive = 0.5
    epoch_kimg: Positive


class Balance(Part):
    """Updates of each player in one iteration, their order, and what evens them out.

    alternating: the generator answers the discriminator's new weights; simultaneous: both step
    from the same point; extragradient: both look one step ahead first. `consensus` is the weight
    of half the squared norm of both players' gradient.
    """

    discriminator_steps: Count = 1
    generator_steps: Count = 1
    order: Literal["alternating", "simultaneous", "extragradient"] = "alternating"
    consensus: NonNegative = 0.0
    hold: Hold | None = None
    unroll: Unroll | None = None
    top_k: TopK | None = None


class Ema(Part):
    """Moving average of the generator's weights, for evaluation and samples; None is off.

    `rampup` r bounds the half-life by r times the images shown; `standing_batches` > 0 measures
    batch normalization's statistics anew under the averaged weights before each evaluation.
    """

    half_life_kimg: Positive | None = 10.0
    rampup: Positive | None = None
    burn_in: BurnIn | None = None
    standing_batches: Annotated[int, Field(ge=0)] = 0


class Evaluation(Part):
    """What is measured of the generator, how often (kimg), on how many samples.

    `truncation` t draws entries of z beyond +-t again: fidelity for diversity.
    """

    metrics: tuple[str, ...] = ()
    primary: str | None = None
    every_kimg: Positive = 20.0
    samples: Annotated[int, Field(ge=16)] = 2000
    sample_grid: Annotated[int, Field(ge=1, le=1024, description="samples drawn for the eye")] = 64
    truncation: Annotated[float | None, Field(ge=0.01, allow_inf_nan=False)] = None


class Checkpoint(Part):
    """How often (kimg) the state is saved, and how many of the newest are kept."""

    every_kimg: Positive = 20.0
    keep: Count = 2


class Compute(Part):
    """Where and how precisely it runs. One thread is fastest for small networks.

    "16-mixed" scales each player's loss by its own factor; `compile` names the players whose
    networks torch compiles.
    """

    device: Literal["auto", "cpu", "cuda", "mps"] = "cpu"
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: Count = 1
    channels_last: bool = False
    compile: tuple[Player, ...] = ()


def _plain(table: Mapping[str, Penalty], info: SerializationInfo) -> dict[str, Any]:
    return {k: v.model_dump(exclude_defaults=info.exclude_defaults) for k, v in table.items()}


PenaltyTable = Annotated[
    Mapping[str, Penalty],
    AfterValidator(lambda table: MappingProxyType(dict(table))),  # frozen like the rest
    PlainSerializer(_plain),
]


def no_penalties() -> Mapping[str, Penalty]:
    """An empty, read-only table."""
    return MappingProxyType({})
