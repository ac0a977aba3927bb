"""The FID Inception: the 2015-12-05 TensorFlow graph that Heusel et al. (2017) measure with.

It differs from torchvision's Inception v3: 1008 outputs, average pools that leave padding out of
the mean, a max pool in the last block, and its own weights. Only numbers taken with these weights
may be called FID. Names of modules are those of the published file.

Sources: the graph inception-2015-12-05.tgz; arXiv:1512.00567; pytorch-fid and torch-fidelity, whose
modules give the same features from the same weights (measured to 1e-5).
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise import errors
from equipoise.errors import WeightsError
from equipoise.features import weights
from equipoise.features.checkpoint import State, build, read_state
from equipoise.features.extractor import Extractor
from equipoise.features.images import Preprocess

INCEPTION = weights.Weights(
    name="inception",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
    "pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    file="pt_inception-2015-12-05-6726825d.pth",
    others=("weights-inception-2015-12-05-6726825d.pth",),
    size=95_628_359,
)
SIZE = 299
LAYERS = {"64": 64, "192": 192, "768": 768, "pool3": 2048, "logits_unbiased": 1008, "logits": 1008}
CONVENTIONS: dict[str, dict[str, str]] = {
    # what each tool does to images; all read levels of uint8
    "torch_fidelity": {"resize": "tf1_bilinear", "normalize": "tf", "quantize": "round"},
    "stylegan": {"resize": "tf1_bilinear", "normalize": "tf", "quantize": "round"},
    "clean_fid": {"resize": "clean", "normalize": "tf", "quantize": "round"},
    "pytorch_fid": {"resize": "torch_bilinear", "normalize": "unit", "quantize": "round"},
    "torchmetrics": {
        "resize": "torch_bilinear_antialias",
        "normalize": "tf",
        "quantize": "truncate",
    },
}

Kernel = int | tuple[int, int]
Step = tuple[int, Kernel, int]  # width, kernel, stride
Branch = list["Step | list[Step]"]  # a list within is a fork, whose outcomes are concatenated


class Convolution(nn.Module):
    """Convolution without bias, batch normalization with eps 1e-3, ReLU."""

    def __init__(self, before: int, width: int, kernel: Kernel, stride: int, pad: bool) -> None:
        super().__init__()
        sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
        padding = (sides[0] // 2, sides[1] // 2) if pad else 0
        self.conv = nn.Conv2d(before, width, sides, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(width, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.bn(self.conv(x)))


class Mixed(nn.Module):
    """Branches side by side, concatenated; the last one is a pool.

    Args:
        before: channels that come in.
        branches: by name, the steps of each; step k of several is called name_k, those of a fork
            name_ka and name_kb.
        pool: "average" (3 x 3, padding left out of the mean), "max" (3 x 3), or "shrink" (3 x 3,
            stride 2).
        pool_width: of the 1 x 1 convolution after the pool; 0 is none.
    """

    def __init__(
        self, before: int, branches: Mapping[str, Branch], pool: str, pool_width: int = 0
    ) -> None:
        super().__init__()
        self.paths: list[list[list[str]]] = []
        self.pool = pool
        for name, steps in branches.items():
            path, width = [], before
            for number, step in enumerate(steps, 1):
                fork = step if isinstance(step, list) else [step]
                stem = name if len(steps) == 1 else f"{name}_{number}"
                ends = "ab" if isinstance(step, list) else [""]
                names = [f"{stem}{end}" for end in ends]
                for key, (after, kernel, stride) in zip(names, fork, strict=True):
                    self.add_module(key, Convolution(width, after, kernel, stride, stride == 1))
                width = sum(after for after, _, _ in fork) if len(fork) > 1 else fork[0][0]
                path.append(names)
            self.paths.append(path)
        if pool_width:
            self.branch_pool = Convolution(before, pool_width, 1, 1, True)

    def forward(self, x: Tensor) -> Tensor:
        outcomes = []
        for path in self.paths:
            y = x
            for names in path:
                parts = [self.get_submodule(name)(y) for name in names]
                y = torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
            outcomes.append(y)
        return torch.cat([*outcomes, self._pooled(x)], dim=1)

    def _pooled(self, x: Tensor) -> Tensor:
        if self.pool == "shrink":
            return F.max_pool2d(x, 3, stride=2)
        if self.pool == "average":
            x = F.avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)
        else:
            x = F.max_pool2d(x, 3, stride=1, padding=1)
        pooled: Tensor = self.branch_pool(x)
        return pooled


def _a(before: int, pool_width: int) -> Mixed:
    branches: dict[str, Branch] = {
        "branch1x1": [(64, 1, 1)],
        "branch5x5": [(48, 1, 1), (64, 5, 1)],
        "branch3x3dbl": [(64, 1, 1), (96, 3, 1), (96, 3, 1)],
    }
    return Mixed(before, branches, "average", pool_width)


def _b(before: int) -> Mixed:
    branches: dict[str, Branch] = {
        "branch3x3": [(384, 3, 2)],
        "branch3x3dbl": [(64, 1, 1), (96, 3, 1), (96, 3, 2)],
    }
    return Mixed(before, branches, "shrink")


def _c(before: int, width: int) -> Mixed:
    wide, tall = (1, 7), (7, 1)
    branches: dict[str, Branch] = {
        "branch1x1": [(192, 1, 1)],
        "branch7x7": [(width, 1, 1), (width, wide, 1), (192, tall, 1)],
        "branch7x7dbl": [
            (width, 1, 1),
            (width, tall, 1),
            (width, wide, 1),
            (width, tall, 1),
            (192, wide, 1),
        ],
    }
    return Mixed(before, branches, "average", 192)


def _d(before: int) -> Mixed:
    branches: dict[str, Branch] = {
        "branch3x3": [(192, 1, 1), (320, 3, 2)],
        "branch7x7x3": [(192, 1, 1), (192, (1, 7), 1), (192, (7, 1), 1), (192, 3, 2)],
    }
    return Mixed(before, branches, "shrink")


def _e(before: int, pool: str) -> Mixed:
    fork: list[Step] = [(384, (1, 3), 1), (384, (3, 1), 1)]
    branches: dict[str, Branch] = {
        "branch1x1": [(320, 1, 1)],
        "branch3x3": [(384, 1, 1), fork],
        "branch3x3dbl": [(448, 1, 1), (384, 3, 1), fork],
    }
    return Mixed(before, branches, pool, 192)


class Inception(nn.Module):
    """Images (N, 3, 299, 299) scaled to about [-1, 1] -> features of one of LAYERS.

    "64", "192", "768" and "pool3" (2048) are means over the map; "logits" (1008) are
    fc(pool3), "logits_unbiased" the same without fc's bias, which is what the Inception Score's
    softmax reads. Without the last layer the network has 21,785,568 weights.

    Args:
        layer: a name in LAYERS.
        head: False leaves fc out, for files that have none.
    """

    def __init__(self, layer: str = "pool3", head: bool = True) -> None:
        super().__init__()
        self.layer = layer
        self.Conv2d_1a_3x3 = Convolution(3, 32, 3, 2, False)
        self.Conv2d_2a_3x3 = Convolution(32, 32, 3, 1, False)
        self.Conv2d_2b_3x3 = Convolution(32, 64, 3, 1, True)
        self.Conv2d_3b_1x1 = Convolution(64, 80, 1, 1, True)
        self.Conv2d_4a_3x3 = Convolution(80, 192, 3, 1, False)
        self.Mixed_5b = _a(192, 32)
        self.Mixed_5c = _a(256, 64)
        self.Mixed_5d = _a(288, 64)
        self.Mixed_6a = _b(288)
        self.Mixed_6b = _c(768, 128)
        self.Mixed_6c = _c(768, 160)
        self.Mixed_6d = _c(768, 160)
        self.Mixed_6e = _c(768, 192)
        self.Mixed_7a = _d(768)
        self.Mixed_7b = _e(1280, "average")
        self.Mixed_7c = _e(2048, "max")  # the graph's own: other Inceptions average here
        if head:
            self.fc = nn.Linear(2048, 1008)

    def forward(self, x: Tensor) -> Tensor:
        x = self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x)))
        x = F.max_pool2d(x, 3, stride=2)
        if self.layer == "64":
            return x.mean(dim=(2, 3))
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, stride=2)
        if self.layer == "192":
            return x.mean(dim=(2, 3))
        for block in (self.Mixed_5b, self.Mixed_5c, self.Mixed_5d, self.Mixed_6a, self.Mixed_6b):
            x = block(x)
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(x)))
        if self.layer == "768":
            return x.mean(dim=(2, 3))
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x))).mean(dim=(2, 3))
        if self.layer == "pool3":
            return x
        return F.linear(x, self.fc.weight, self.fc.bias if self.layer == "logits" else None)


# pytorch-fid's wrapper numbers the same modules by block and place (pools have no weights)
BLOCKS = [
    ["Conv2d_1a_3x3", "Conv2d_2a_3x3", "Conv2d_2b_3x3"],
    ["Conv2d_3b_1x1", "Conv2d_4a_3x3"],
    [f"Mixed_{name}" for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e")],
    ["Mixed_7a", "Mixed_7b", "Mixed_7c"],
]


def published_names(state: Mapping[str, Tensor]) -> State:
    """A state dict by the published file's names: that file's own, or of pytorch-fid's wrapper."""
    found = {}
    for key, value in state.items():
        head, _, rest = key.partition(".")
        if head == "blocks":
            block, place, rest = rest.split(".", 2)
            head = BLOCKS[int(block)][int(place)]
        found[f"{head}.{rest}"] = value
    return found


def inception(
    *,
    layer: str = "pool3",
    convention: str = "torch_fidelity",
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """The FID Inception as an extractor; "inception" is its pool3, whose Frechet distance is FID.

    Args:
        layer: a name in LAYERS; another than pool3 is part of the features' name.
        convention: a name in CONVENTIONS, whose resize, quantization and scaling are taken.
        path, sha256, download: as in `weights.find`; other weights than the published ones are
            part of the features' name too.

    Raises:
        ValueError: an unknown layer or convention.
        MissingWeightsError, WeightsError: as `weights.find`; or the file does not fit.
    """
    for what, name, choices in (
        ("layer", layer, list(LAYERS)),
        ("convention", convention, list(CONVENTIONS)),
    ):
        if name not in choices:
            raise ValueError(errors.unknown(what, name, choices))
    found = weights.find(INCEPTION, path, sha256=sha256, download=download)
    state = published_names(read_state(found.path))
    head = "fc.weight" in state
    if not head and layer.startswith("logits"):
        raise WeightsError(f"{found.path} has no last layer (fc.weight), which {layer!r} needs")
    network = build(functools.partial(Inception, layer, head), state, "the FID Inception")
    name = weights.named("inception" if layer == "pool3" else f"inception_{layer}", found)
    ready = Preprocess(size=SIZE, gray="tell", **CONVENTIONS[convention])  # type: ignore[arg-type]  # all texts
    return Extractor(name, network, ready, LAYERS[layer], found.sha256)
