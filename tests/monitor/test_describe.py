"""Networks and batches as facts: what is read off, and that nothing is touched."""

import copy
import json

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

from equipoise.errors import DataError
from equipoise.game import ConditionalBatchNorm, Noise
from equipoise.monitor import Monitor
from equipoise.monitor.anatomy import spectrally_normalized
from equipoise.monitor.describe import describe

TANH, SIGMOID = (-1.0, 1.0), (0.0, 1.0)


def generator(*last, z=8, channels=1):
    """z (N, 8, 1, 1) -> (N, C, 8, 8)."""
    return nn.Sequential(
        nn.ConvTranspose2d(z, 12, 4),
        nn.BatchNorm2d(12),
        nn.ReLU(),
        nn.ConvTranspose2d(12, channels, 4, 2, 1),
        *last,
    )


def discriminator(*last, channels=1):
    """(N, C, 8, 8) -> (N, 1)."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(8, 8, 4, 2, 1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(32, 1),
        *last,
    )


def reals(n=8, channels=1, side=8):
    rng = torch.Generator().manual_seed(3)
    return torch.rand(n, channels, side, side, generator=rng) * 2 - 1


class Half(nn.Module):
    """(x + 1) / 2."""

    def forward(self, x):
        return (x + 1) / 2


class Conditional(nn.Module):
    """z, y -> image; `how` says what becomes of y."""

    def __init__(self, how):
        super().__init__()
        self.z_dim, self.how = 8, how
        self.body = nn.Linear(8, 64)
        self.norm = ConditionalBatchNorm(64, classes=3)

    def forward(self, z, y):
        x = self.body(z)
        if self.how == "used":
            x = self.norm(x, y)
        return torch.tanh(x).view(-1, 1, 8, 8)


def bounds(facts, player="generator"):
    return facts[f"{player}/bound_low"], facts[f"{player}/bound_high"]


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        ((nn.Tanh(),), TANH),
        ((nn.Sigmoid(),), SIGMOID),
        ((nn.Tanh(), Half()), SIGMOID),
        ((nn.Hardtanh(-2, 3),), (-2.0, 3.0)),
        ((nn.ReLU(),), (0.0, None)),
        ((), (None, None)),
    ],
    ids=["tanh", "sigmoid", "scaled-tanh", "hardtanh", "relu", "none"],
)
def test_the_bounds_of_the_output_are_found_by_driving_the_last_layer(last, expected):
    assert bounds(describe(generator(*last), discriminator(), reals())) == pytest.approx(expected)


def test_a_functional_activation_is_found_too():
    assert bounds(describe(Conditional("used"), None, (reals(), torch.arange(8) % 3))) == TANH


def test_a_sigmoid_behind_the_logits_is_seen():
    assert bounds(describe(None, discriminator(nn.Sigmoid()), reals()), "discriminator") == SIGMOID
    assert bounds(describe(None, discriminator(), reals()), "discriminator") == (None, None)


def test_the_structure_is_read_in_the_order_of_execution():
    facts = describe(generator(nn.Tanh()), discriminator(), reals())
    assert facts["generator/transposed"] == [("3", 4, 2)]  # on one pixel nothing overlaps
    assert facts["generator/batch_norms"] == ["1"]
    assert (facts["generator/takes"], facts["generator/z_dim"]) == ("z", 8)
    assert facts["generator/shape"] == facts["real/shape"] == [1, 8, 8]
    assert facts["discriminator/rectifiers"] == "leaky"
    assert facts["discriminator/sees"] is None  # a dense head sees the whole image
    assert facts["discriminator/logits_per_sample"] == 1
    count = sum(p.numel() for p in discriminator().parameters())
    assert facts["discriminator/parameters"] == count


def test_batch_normalization_at_the_ends_is_told_from_that_in_the_middle():
    first, second, third = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Conv2d(4, 1, 4)
    ends = nn.Sequential(first, nn.BatchNorm2d(4), second, third)
    facts = describe(generator(nn.BatchNorm2d(1), nn.Tanh()), ends, reals())
    assert facts["generator/batch_norm_last"]
    assert facts["discriminator/batch_norm_first"]
    inner = nn.Sequential(first, second, nn.BatchNorm2d(4), third)
    facts = describe(generator(nn.Tanh()), inner, reals())
    assert not facts["generator/batch_norm_last"]
    assert not facts["discriminator/batch_norm_first"]


def test_the_receptive_field_is_that_of_the_70_pixel_patch():
    """pix2pix's PatchGAN: kernels 4, strides 2 2 2 1 1 (Isola et al. 2017, appendix 6.1.2)."""
    strides, width = (2, 2, 2, 1, 1), (3, 2, 2, 2, 2, 1)
    layers = [nn.Conv2d(width[i], width[i + 1], 4, s, 1) for i, s in enumerate(strides)]
    facts = describe(None, nn.Sequential(*layers), reals(4, 3, 64))
    assert facts["discriminator/sees"] == 70


def test_dead_units_are_counted():
    dead = discriminator()
    dead[1] = nn.ReLU()
    with torch.no_grad():
        dead[0].bias[:6] = -100
    facts = describe(None, dead, reals())
    assert facts["discriminator/dead"] == ("1", 6 / 8)


def test_saturation_at_the_start_is_counted():
    wild = generator(nn.Tanh())
    with torch.no_grad():
        wild[3].weight.mul_(1e4)
    assert describe(wild, None, reals())["generator/saturated"] > 0.95
    assert describe(generator(nn.Tanh()), None, reals())["generator/saturated"] == 0


class Cut(nn.Module):
    def forward(self, x):
        return x.detach()


def test_a_gradient_that_never_arrives_is_told_from_a_head_that_starts_at_zero():
    assert describe(generator(Cut()), discriminator(), reals())["generator/reached"] == 0
    zero = discriminator()
    nn.init.zeros_(zero[5].weight)
    assert describe(generator(nn.Tanh()), zero, reals())["generator/reached"] > 0


class Blind(nn.Module):
    """The same picture for every z."""

    def __init__(self):
        super().__init__()
        self.z_dim = 8
        self.picture = nn.Parameter(torch.zeros(1, 8, 8))
        self.unused = nn.Linear(8, 1)

    def forward(self, z):
        return torch.tanh(self.picture).expand(len(z), 1, 8, 8)


def test_latents_that_do_nothing_are_told_from_a_last_layer_of_zeros():
    assert describe(Blind(), None, reals())["generator/varies"] is False
    zero = generator(nn.Tanh())
    nn.init.zeros_(zero[3].weight)
    assert describe(zero, None, reals())["generator/varies"] is True


@pytest.mark.parametrize(("how", "matters"), [("used", True), ("dropped", False)])
def test_labels_are_changed_and_the_output_compared(how, matters):
    """Conditional normalization starts with gains of 0, under which labels change nothing yet."""
    facts = describe(Conditional(how), None, (reals(), torch.arange(8) % 3))
    assert facts["generator/labels"]
    assert facts["generator/label_matters"] is matters


class HalfDeaf(nn.Module):
    """Two layers that take y, of which one drops it."""

    class Dropping(nn.Module):
        def forward(self, x, y):
            return x

    def __init__(self):
        super().__init__()
        self.first, self.second = ConditionalBatchNorm(64, classes=3), self.Dropping()
        self.head = nn.Linear(64, 1)

    def forward(self, x, y):
        return self.head(self.second(self.first(x.flatten(1), y), y))


def test_layers_that_drop_their_labels_are_named():
    facts = describe(None, HalfDeaf(), (reals(), torch.arange(8) % 3))
    assert facts["discriminator/label_matters"] is True
    assert facts["discriminator/deaf_layers"] == ["second"]


def test_a_generator_of_images_is_fed_images():
    facts = describe(nn.Sequential(nn.Conv2d(3, 3, 3, padding=1), nn.Tanh()), None, reals(4, 3))
    assert facts["generator/takes"] == "images"


class Beside(nn.Module):
    """z of 5 beside an embedding of 3."""

    def __init__(self):
        super().__init__()
        self.table, self.body = nn.Embedding(4, 3), nn.Linear(8, 64)

    def forward(self, z, label):
        return self.body(torch.cat([z, self.table(label)], 1)).view(-1, 1, 8, 8)


@pytest.mark.parametrize("batch", [reals(), (reals(), torch.arange(8) % 3)], ids=["bare", "told"])
def test_the_width_of_z_beside_an_embedding_is_found_with_or_without_labels(batch):
    facts = describe(Beside(), None, batch)
    assert (facts["generator/z_dim"], facts["generator/labels"]) == (5, True)
    assert facts["generator/shape"] == [1, 8, 8]


def test_the_size_of_a_map_that_a_generator_starts_from_is_tried_out():
    """Twice as many frames out as in: what it is fed must have half of them."""
    facts = describe(
        nn.Sequential(nn.Conv1d(5, 4, 3, padding=1), nn.ConvTranspose1d(4, 1, 4, 2, 1)),
        None,
        torch.rand(4, 1, 32),
    )
    assert facts["generator/shape"] == facts["real/shape"] == [1, 32]
    facts = describe(
        nn.Sequential(nn.Conv2d(5, 4, 3, padding=1), nn.Conv2d(4, 1, 2)), None, reals()
    )
    assert "generator/shape" not in facts  # nobody can know


def test_a_generator_of_another_size_is_not_excused():
    assert describe(generator(nn.Tanh()), None, reals(side=12))["generator/shape"] == [1, 8, 8]


def test_a_dense_layer_on_a_map_is_told_from_a_head():
    heads = nn.Sequential(nn.Conv2d(1, 2, 4, 2, 1), nn.Flatten(), nn.Linear(32, 4))
    assert describe(None, heads, reals())["discriminator/hidden_dense"] == []
    hidden = nn.Sequential(*heads, nn.Linear(4, 1))
    assert describe(None, hidden, reals())["discriminator/hidden_dense"] == ["2"]


def test_half_precision_networks_are_fed_their_own():
    facts = describe(generator(nn.Tanh()).bfloat16(), discriminator().bfloat16(), reals())
    assert facts["discriminator/refuses_fakes"] == ""
    assert facts["generator/reached"] == 1
    assert bounds(facts) == TANH


def test_the_batch_is_measured():
    x = reals(6)
    x[1] = x[0]
    x[2] = 0.25
    facts = describe(None, None, x)
    assert (facts["data/examined"], facts["data/distinct"], facts["data/blank"]) == (6, 5, 1)
    assert facts["real/low"] == float(x.min())
    assert facts["real/nonfinite"] == 0
    x[0, 0, 0, 0] = float("nan")
    assert describe(None, None, x)["real/nonfinite"] == 1 / x.numel()


def test_classes_are_counted_up_to_the_highest():
    facts = describe(None, None, (reals(6), torch.tensor([0, 0, 0, 3, 1, 1])))
    told = ("classes/count", "classes/seen", "classes/smallest", "classes/smallest_label")
    assert [facts[name] for name in told] == [4, 3, 0, 2]


def test_bytes_are_measured_as_they_are():
    facts = describe(None, discriminator(), (reals() * 127 + 128).to(torch.uint8))
    assert facts["real/high"] > 200
    assert facts["discriminator/outputs"] == 1


def test_optimizers_say_their_rate_momentum_and_whose_they_are():
    g, d = generator(nn.Tanh()), discriminator()
    facts = describe(
        g,
        d,
        reals(),
        generator_optimizer=torch.optim.Adam(g.parameters(), 1e-3, (0.5, 0.9)),
        discriminator_optimizer=torch.optim.SGD(g.parameters(), 0.1),
    )
    assert facts["optimizer/generator/beta1"] == 0.5
    assert facts["optimizer/generator/covers"] == 1
    assert facts["optimizer/discriminator/covers"] == 0
    assert "optimizer/discriminator/beta1" not in facts


@pytest.mark.parametrize("norm", [parametrizations.spectral_norm, spectral_norm])
@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.spectral_norm.*:FutureWarning")
def test_spectral_normalization_of_either_kind_is_seen(norm):
    held = nn.Sequential(norm(nn.Linear(4, 4)), nn.Linear(4, 1))
    assert spectrally_normalized(held)
    assert not spectrally_normalized(nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)))


def test_what_cannot_be_called_says_why_and_stops_nothing():
    facts = describe(nn.Linear(3, 5), nn.Conv2d(3, 1, 3), reals())
    assert "expected input" in facts["discriminator/refused"]
    assert "discriminator/outputs" not in facts
    assert facts["generator/shape"] == [5]


class Uncopied(nn.Linear):
    def __deepcopy__(self, memo):
        raise RuntimeError("not this one")


def test_what_cannot_be_copied_is_not_played():
    facts = describe(None, Uncopied(64, 1), reals())
    assert facts["discriminator/refused"] == "cannot be copied: not this one"


@pytest.mark.parametrize("batch", ["text", 3, torch.zeros(4), torch.zeros(1, 3), [], {"what": 1}])
def test_no_batch_is_refused_with_the_way_out(batch):
    with pytest.raises(DataError, match=r"give one batch of real samples"):
        describe(None, None, batch)


@pytest.mark.parametrize("form", [list, lambda ds: dict(zip("ab", ds, strict=True))])
def test_several_discriminators_are_one_with_several_outputs(form):
    pair = [discriminator(), discriminator(nn.Sigmoid())]
    facts = describe(generator(nn.Tanh()), form(pair), reals())
    assert facts["discriminator/outputs"] == 2
    assert facts["discriminator/parameters"] == 2 * sum(p.numel() for p in pair[0].parameters())
    assert facts["generator/reached"] == 1


def test_an_unknown_objective_is_refused():
    with pytest.raises(ValueError, match="did you mean 'hinge'"):
        describe(None, None, reals(), objective="hinges")


def test_facts_are_json():
    facts = describe(generator(nn.Tanh()), discriminator(), (reals(), torch.arange(8) % 3))
    assert json.loads(json.dumps(facts, allow_nan=False)).keys() == facts.keys()


class Remembering(nn.Module):
    """Keeps what it saw, as a Python attribute."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def forward(self, x):
        self.seen += 1
        return x


def test_nothing_is_touched():
    """Weights, buffers, gradients, modes, attributes, hooks, random states and the batch."""
    g = generator(nn.Tanh(), Noise(0.1), nn.Dropout(0.5))
    conv = parametrizations.spectral_norm(nn.Conv2d(1, 4, 3))
    d = nn.Sequential(Remembering(), conv, nn.BatchNorm2d(4), nn.Conv2d(4, 1, 6))
    g[1].eval()
    g[0].weight.requires_grad_(False)
    g[3].weight.grad = torch.ones_like(g[3].weight)
    heard = []
    d[1].register_forward_hook(lambda *_: heard.append("forward"))
    g[3].weight.register_hook(lambda grad: heard.append("gradient"))
    batch = reals()
    before = [copy.deepcopy(m.state_dict()) for m in (g, d)]
    modes = [m.training for m in (*g.modules(), *d.modules())]
    rng, kept = torch.get_rng_state(), batch.clone()
    with torch.no_grad():
        describe(g, d, batch, labels=torch.arange(8) % 3)
        assert not torch.is_grad_enabled()
    for module, state in zip((g, d), before, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
    assert [m.training for m in (*g.modules(), *d.modules())] == modes
    assert not g[0].weight.requires_grad
    assert g[0].weight.grad is None
    assert torch.equal(g[3].weight.grad, torch.ones_like(g[3].weight))
    assert (heard, d[0].seen, batch.grad) == ([], 0, None)
    assert torch.equal(torch.get_rng_state(), rng)
    assert torch.equal(batch, kept)


def test_a_watched_network_is_described_unheard():
    """An attached monitor neither hears the passes nor changes the facts."""
    g, d = generator(nn.Tanh()), discriminator()
    expected = describe(g, d, reals())
    optimizers = [torch.optim.Adam(m.parameters(), 1e-3) for m in (g, d)]
    with Monitor(g, d, *optimizers) as monitor:
        assert describe(g, d, reals()) == expected
        assert dict(monitor.trace().signals) == {}


@pytest.mark.filterwarnings("ignore:.*torch.nn.utils.spectral_norm.*:FutureWarning")
def test_weights_computed_in_a_hook_before_the_layer_are_still_computed():
    held = nn.Sequential(nn.Flatten(), spectral_norm(nn.Linear(64, 1)))
    facts = describe(generator(nn.Tanh()), held, reals())
    assert facts["generator/reached"] == 1
    assert spectrally_normalized(held)


def test_the_same_networks_give_the_same_facts():
    g, d = generator(nn.Tanh()), discriminator(nn.Dropout(0.5))
    assert describe(g, d, reals()) == describe(g, d, reals())
