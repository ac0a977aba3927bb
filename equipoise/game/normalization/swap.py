"""Surgery: one kind of normalization for another, in place, the weights kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from equipoise.errors import unknown
from equipoise.game.normalization.batch import VirtualBatchNorm
from equipoise.game.normalization.spectral import (
    Convolution,
    Transposed,
    _ExactSpectralNorm,
    exact_spectral_norms,
    input_sizes,
    spectral_norm,
)
from equipoise.game.normalization.style import PixelNorm
from equipoise.game.normalization.table import WeightNorm, groups_of, weight_norm

Weighted = nn.Linear | Convolution | Transposed
BATCH = {0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
INSTANCE = {1: nn.InstanceNorm1d, 2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}


@dataclass(frozen=True)
class Change:
    """What surgery did to one module.

    Attributes:
        name: the module's name in the model.
        before, after: class names, or kinds of weight parametrization ("none" for none).
        dropped: the module's tensors that nothing holds any more; an optimizer that knows them
            goes on holding parameters that get no gradient.
    """

    name: str
    before: str
    after: str
    dropped: tuple[str, ...] = ()


def _is_spectral(part: nn.Module) -> bool:
    return isinstance(part, parametrizations._SpectralNorm)


def _is_exact(part: nn.Module) -> bool:
    return isinstance(part, _ExactSpectralNorm)


def _is_weight_norm(part: nn.Module) -> bool:
    return isinstance(part, WeightNorm | parametrizations._WeightNorm)  # ours or torch's


OF_WEIGHTS: dict[str, Callable[[nn.Module], bool]] = {
    "spectral": _is_spectral,
    "spectral_exact": _is_exact,
    "weight": _is_weight_norm,
}
OF_ACTIVATIONS: dict[str, Callable[[nn.Module], bool]] = {
    "batch": lambda m: isinstance(m, nn.modules.batchnorm._BatchNorm),
    "layer": lambda m: isinstance(m, nn.GroupNorm) and m.num_groups == 1,
    "group": lambda m: isinstance(m, nn.GroupNorm) and m.num_groups > 1,
    "instance": lambda m: isinstance(m, nn.modules.instancenorm._InstanceNorm),
    "pixel": lambda m: isinstance(m, PixelNorm),
    "virtual_batch": lambda m: isinstance(m, VirtualBatchNorm),
}
KINDS = ("none", *OF_WEIGHTS, *OF_ACTIVATIONS)


def swap_normalization(
    model: nn.Module, old: str, new: str, example: Tensor | None = None
) -> list[Change]:
    """Replace every `old` normalization in `model` by `new`, in place; say what changed.

    Kinds of weights: "spectral", "spectral_exact" (needs `example`, see `exact_spectral_norms`),
    "weight". Kinds of activations: "batch", "layer", "group", "instance", "pixel", "virtual_batch".
    "none" as `old` puts a kind of weights on a bare model; as `new` it takes `old` out.

    - Dense and convolution weights stay the same parameters (an optimizer still holds them),
      except into and out of "weight", which has its own.
    - Between kinds of activations the affine weight and bias move over as they are. Where the new
      one has none, the shift becomes the bias of the layer before it in a Sequential, if that has
      none; the gain, and otherwise the shift, are dropped. Running statistics are dropped.
    - A removed layer leaves `nn.Identity` at its place, so positions and names after it hold.
    - Towards a kind of weights, every dense and convolution layer gets it, the first and the last
      too, as Miyato et al. 2018 do.

    Everything is refused before anything is changed. Example:

    >>> net = nn.Sequential(nn.Linear(2, 4, bias=False), nn.BatchNorm1d(4), nn.ReLU())
    >>> for change in swap_normalization(net, "batch", "spectral"):
    ...     print(change.name, change.before, change.after, change.dropped)
    1 BatchNorm1d Identity ('weight', 'running_mean', 'running_var', 'num_batches_tracked')
    0 none spectral ()

    Raises:
        ValueError: unknown kind; nothing of the old kind; a kind of weights to one of activations,
            which would need a place that the model does not have; the new kind is undefined where
            the old one stands; or the example is missing.
    """
    _refuse(model, old, new, example)
    changes = _off(model, old, new) if old in OF_WEIGHTS else []
    if old in OF_ACTIVATIONS:
        changes += _replace(model, old, new)
    if new in OF_WEIGHTS:
        changes += _on(model, new, example)
    return changes


def _refuse(model: nn.Module, old: str, new: str, example: Tensor | None) -> None:
    for kind in (old, new):
        if kind not in KINDS:
            raise ValueError(unknown("normalization", kind, KINDS))
    if old == new:
        raise ValueError(f"old = new = {old!r}: there is nothing to swap; name two kinds")
    if new in OF_ACTIVATIONS and old not in OF_ACTIVATIONS:
        raise ValueError(
            f"old = {old!r}, new = {new!r}: where to normalize activations cannot be told from"
            f" weights; build the model with normalization {new!r} instead"
        )
    if old != "none" and not _count(model, old):
        present = [kind for kind in KINDS[1:] if _count(model, kind)] or ["none"]
        raise ValueError(
            f"old = {old!r}: the model has no such normalization; it has {', '.join(present)}"
        )
    if new == "spectral_exact" and example is None:
        raise ValueError(
            "example = None: exact spectral normalization depends on the input's size; pass one"
            " batch of inputs, example=x"
        )
    if example is not None:
        input_sizes(model, example)  # an example that does not fit fails here, before any change
    if old in OF_ACTIVATIONS and OF_ACTIVATIONS[old](model):
        raise ValueError("model is itself the normalization: it has no parent to replace it in")


def _count(model: nn.Module, kind: str) -> int:
    if kind in OF_ACTIVATIONS:
        return sum(OF_ACTIVATIONS[kind](m) for m in model.modules())
    return sum(_has(m, kind) for m in model.modules())


def _has(layer: nn.Module, kind: str) -> bool:
    """Whether a kind of weights is on this layer's weight."""
    if not parametrize.is_parametrized(layer, "weight"):
        return False
    return any(OF_WEIGHTS[kind](part) for part in layer.parametrizations["weight"])


def _off(model: nn.Module, old: str, new: str) -> list[Change]:
    """Take a kind of weights out; the raw weight stays, except that of weight norm, g v / |v|."""
    kinds = ("spectral_exact", "spectral") if old == "spectral_exact" else (old,)  # dense: usual
    found = [
        (name, layer)
        for name, layer in model.named_modules()
        if any(_has(layer, kind) for kind in kinds)
    ]
    for name, layer in found:
        if len(layer.parametrizations["weight"]) > 1:
            raise ValueError(
                f"{name}.weight has further parametrizations beside {old!r}; remove them first with"
                " torch.nn.utils.parametrize.remove_parametrizations"
            )
    for _, layer in found:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=old == "weight")
    return [Change(name, old, "none") for name, _ in found]


def _on(model: nn.Module, new: str, example: Tensor | None) -> list[Change]:
    if new == "spectral_exact":
        assert example is not None
        return [Change(name, "none", new) for name in exact_spectral_norms(model, example)]
    put = {"spectral": spectral_norm, "weight": weight_norm}[new]
    bare = [
        (name, layer)
        for name, layer in model.named_modules()
        if isinstance(layer, Weighted) and not parametrize.is_parametrized(layer, "weight")
    ]
    for _, layer in bare:
        put(layer)
    return [Change(name, "none", new) for name, _ in bare]


@dataclass(frozen=True)
class _Place:
    """Where a normalization of activations stands; `producer` is the weighted layer before it."""

    name: str
    parent: nn.Module
    child: str
    old: nn.Module
    producer: Weighted | None


def _places(model: nn.Module, kind: str) -> Iterator[_Place]:
    producer = None
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, Weighted):
            producer = module
        elif OF_ACTIVATIONS[kind](module):
            path, _, child = name.rpartition(".")
            yield _Place(name, model.get_submodule(path), child, module, producer)


def _replace(model: nn.Module, old: str, new: str) -> list[Change]:
    places = list(_places(model, old))
    made: dict[int, nn.Module] = {}  # a module shared by two places stays shared
    for place in places:
        if id(place.old) not in made:
            made[id(place.old)] = _fresh(place, new).train(place.old.training)
    changes = []
    for place in places:
        fresh = made[id(place.old)]
        changes.append(_put(place, fresh))
        setattr(place.parent, place.child, fresh)
    return changes


def _fresh(place: _Place, new: str) -> nn.Module:
    """A new normalization for the place, on its device, without the old one's affine part."""
    if new not in OF_ACTIVATIONS:
        return nn.Identity()
    if new == "pixel":
        return PixelNorm()
    channels, dims = _channels(place), _dims(place)
    if new == "instance" and dims not in INSTANCE:
        raise ValueError(
            f"new = 'instance' at {place.name}: its input may be vectors (N, C), where each channel"
            " minus its own mean is 0; use 'layer' or 'group'"
        )
    fresh = {
        "batch": lambda: BATCH[dims](channels),
        "layer": lambda: nn.GroupNorm(1, channels),
        "group": lambda: nn.GroupNorm(groups_of(channels), channels),
        "instance": lambda: INSTANCE[dims](channels, affine=True),
        "virtual_batch": lambda: VirtualBatchNorm(channels),
    }[new]()
    like = next(place.old.parameters(), None)
    if like is None and place.producer is not None:
        like = place.producer.weight
    return fresh if like is None else fresh.to(like)


def _channels(place: _Place) -> int:
    for attribute in ("num_features", "num_channels", "channels"):
        if hasattr(place.old, attribute):
            return int(getattr(place.old, attribute))
    producer = place.producer
    if producer is None:
        raise ValueError(f"{place.name}: how many channels it has cannot be told; build it anew")
    return producer.out_features if isinstance(producer, nn.Linear) else producer.out_channels


def _dims(place: _Place) -> int:
    """Dimensions of a pixel grid at the place: 0 for vectors, or where only vectors are sure."""
    for dims, kind in ((2, "2d"), (3, "3d")):
        if type(place.old).__name__.endswith(kind):
            return dims
    if isinstance(place.old, nn.InstanceNorm1d):
        return 1
    if isinstance(place.old, nn.BatchNorm1d) or not isinstance(
        place.producer, Convolution | Transposed
    ):
        return 0
    return len(place.producer.kernel_size)


def _put(place: _Place, fresh: nn.Module) -> Change:
    """Move the affine part over; say what was lost."""
    old, kept = place.old, set()
    for name in ("weight", "bias"):
        parameter = getattr(old, name, None)
        if isinstance(parameter, nn.Parameter) and isinstance(
            getattr(fresh, name, None), nn.Parameter
        ):
            setattr(fresh, name, parameter)
            kept.add(name)
    if "bias" not in kept and _shift_into_producer(place):
        kept.add("bias")
    tensors = [*dict(old.named_parameters()), *dict(old.named_buffers())]
    dropped = tuple(name for name in tensors if name not in kept)
    return Change(place.name, type(old).__name__, type(fresh).__name__, dropped)


def _shift_into_producer(place: _Place) -> bool:
    """The old bias as that of the layer directly before it in a Sequential, if that has none."""
    bias = getattr(place.old, "bias", None)
    if not isinstance(place.parent, nn.Sequential) or not isinstance(bias, nn.Parameter):
        return False
    names = list(place.parent._modules)
    before = names.index(place.child) - 1
    layer = place.parent._modules[names[before]] if before >= 0 else None
    if not isinstance(layer, Weighted) or layer.bias is not None:
        return False
    layer.bias = bias
    return True
