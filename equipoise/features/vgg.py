"""VGG-16 (Simonyan & Zisserman 2015): features of improved precision/recall, and LPIPS.

fc2 after its ReLU (4096) is what Kynkaanniemi et al. (2019) measure precision and recall in. The
five stages give LPIPS (Zhang et al. 2018), the distance of perceptual path length. Names of modules
are those of torchvision's published file.
"""

from __future__ import annotations

import math
import os

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from equipoise.errors import WeightsError
from equipoise.features import weights
from equipoise.features.checkpoint import build, read_state
from equipoise.features.extractor import Extractor
from equipoise.features.images import Preprocess

VGG16 = weights.Weights(
    name="vgg16",
    url="https://download.pytorch.org/models/vgg16-397923af.pth",
    sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    file="vgg16-397923af.pth",
    size=553_433_881,
)
LPIPS = weights.Weights(
    name="lpips",
    url="https://raw.githubusercontent.com/richzhang/PerceptualSimilarity/master/lpips/weights/"
    "v0.1/vgg.pth",
    sha256="a78928a0af1e5f0fcb1f3b9e8f8c3a2a5a3de244d830ad5c1feddc79b8432868",
    file="lpips-vgg-v0.1-a78928a0.pth",
    others=("vgg.pth",),  # as lpips and torchmetrics keep it
    size=7_289,
)
SIZE = 224
STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class Vgg16(nn.Module):
    """Images (N, 3, H, W), ImageNet-normalized -> fc2 after ReLU (N, 4096).

    Args:
        stages: widths of the convolutions between pools.
        inner: width of fc1 and fc2.
        classes: of the last layer, which is in the file and is not used.
    """

    def __init__(
        self,
        stages: tuple[tuple[int, ...], ...] = STAGES,
        inner: int = 4096,
        classes: int = 1000,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for stage in stages:
            for width in stage:
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
                before = width
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(before * 49, inner),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(inner, inner),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(inner, classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.adaptive_avg_pool2d(self.features(x), 7).flatten(1)
        rows: Tensor = self.classifier[:5](x)
        return rows

    def stages(self, x: Tensor) -> list[Tensor]:
        """The maps before each pool: relu1_2, relu2_2, relu3_3, relu4_3, relu5_3."""
        maps = []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                maps.append(x)
            x = layer(x)
        return maps


class PerceptualStack(nn.Module):
    """Images (N, 3, H, W), ImageNet-normalized -> rows whose squared distance is LPIPS.

    The five stages l, each divided by its norm over channels at every place, and scaled by
    sqrt(w_l / (H_l W_l)), flattened side by side:

        ||f(a) - f(b)||^2 = sum_l 1/(H_l W_l) sum_hw sum_c w_lc (a_lchw - b_lchw)^2

    which is LPIPS (arXiv:1801.03924, equation 1) with its learned w, and the unlearned baseline
    with w = 1. d depends on the image's size: 499,712 at 64 x 64.

    Args:
        vgg: the network.
        heads: w_l (C_l,), not negative, of the five stages; None is 1.
    """

    def __init__(self, vgg: Vgg16, heads: list[Tensor] | None = None) -> None:
        super().__init__()
        self.vgg = vgg
        for number, head in enumerate(heads or []):
            self.register_buffer(f"root{number}", head.clamp_min(0).sqrt())
        self.weighted = heads is not None

    def forward(self, x: Tensor) -> Tensor:
        rows = []
        for number, stage in enumerate(self.vgg.stages(x)):
            unit = stage / (stage.norm(dim=1, keepdim=True) + 1e-10)  # LPIPS' own epsilon
            if self.weighted:
                unit = unit * self.get_buffer(f"root{number}")[:, None, None]
            rows.append(unit.flatten(1) / math.sqrt(stage.shape[2] * stage.shape[3]))
        return torch.cat(rows, dim=1)


def vgg16(
    *,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """VGG-16's fc2 after ReLU (4096) as an extractor; 224 x 224 by TensorFlow's bilinear.

    torch-fidelity's "vgg16" with fc2_relu. StyleGAN's vgg16 has other weights of the same network
    and compares with nothing here.

    Raises:
        MissingWeightsError, WeightsError: as `weights.find`; or the file does not fit.
    """
    found = weights.find(VGG16, path, sha256=sha256, download=download)
    network = build(Vgg16, read_state(found.path), "VGG-16")
    ready = Preprocess(resize="tf1_bilinear", size=SIZE, normalize="imagenet", gray="tell")
    return Extractor(weights.named("vgg16", found), network, ready, 4096, found.sha256)


def vgg16_lpips(
    *,
    heads: str | os.PathLike[str] | None = None,
    learned: bool = True,
    path: str | os.PathLike[str] | None = None,
    sha256: str | None = None,
    download: bool | None = None,
) -> Extractor:
    """LPIPS as an extractor: squared Euclidean distance of two rows is LPIPS (VGG, version 0.1).

    Images keep their size and are not quantized: an 8-bit image is useless for path length at
    eps 1e-4. Rows are long (499,712 at 64 x 64), so a batch is 8 images.

    Args:
        heads: the file of the learned weights w; None searches as for VGG-16.
        learned: False is the baseline w = 1, "vgg16_stages".
        path, sha256, download: of VGG-16's own file, as in `weights.find`.

    Raises:
        MissingWeightsError, WeightsError: as `weights.find`; or a file does not fit.
    """
    found = weights.find(VGG16, path, sha256=sha256, download=download)
    vgg = build(Vgg16, read_state(found.path), "VGG-16")
    sha, learned_weights = found.sha256, None
    if learned:
        head = weights.find(LPIPS, heads, download=download)
        learned_weights = head_weights(read_state(head.path))
        sha = f"{sha}+{head.sha256}"
    network = PerceptualStack(vgg, learned_weights).eval()
    name = weights.named("vgg16_lpips" if learned else "vgg16_stages", found)
    ready = Preprocess(quantize="none", normalize="imagenet", gray="tell")
    return Extractor(name, network, ready, None, sha, batch=8)


def head_weights(state: dict[str, Tensor]) -> list[Tensor]:
    """w_l (C_l,) of the five stages from LPIPS' file (lin0.model.1.weight (1, C, 1, 1), ...).

    Raises:
        WeightsError: it is no such file.
    """
    try:
        found = [state[f"lin{number}.model.1.weight"].float().flatten() for number in range(5)]
    except KeyError as error:
        raise WeightsError(
            f"no {error} among {', '.join(sorted(state)[:3])}...: not LPIPS' weights for VGG-16"
        ) from error
    shapes, wanted = [len(w) for w in found], [stage[-1] for stage in STAGES]
    if shapes != wanted:
        raise WeightsError(
            f"LPIPS' weights have {shapes} channels, VGG-16's stages {wanted}; give vgg.pth"
        )
    return found
