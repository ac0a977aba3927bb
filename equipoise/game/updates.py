"""How a player's weights follow its gradient."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

Parameters = Iterable[nn.Parameter]


def adam(
    parameters: Parameters, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam (Kingma and Ba 2015), one fused kernel for all tensors; decay is added to gradients."""
    return torch.optim.Adam(
        parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True
    )


def adamw(
    parameters: Parameters, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam with decoupled decay, w <- (1 - lr d) w first (Loshchilov and Hutter 2019, alg. 2)."""
    return torch.optim.AdamW(
        parameters, lr=lr, betas=(beta1, beta2), eps=eps, weight_decay=weight_decay, fused=True
    )


def rmsprop(
    parameters: Parameters, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """RMSprop with smoothing beta2 and momentum beta1 >= 0 (Tieleman and Hinton 2012; WGAN's)."""
    return torch.optim.RMSprop(
        parameters, lr=lr, alpha=beta2, eps=eps, weight_decay=weight_decay, momentum=beta1
    )


def sgd(
    parameters: Parameters,
    lr: float,
    beta1: float = 0.0,
    beta2: float = 0.0,
    eps: float = 0.0,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Gradient descent with momentum beta1 in (-1, 1), see `Momentum`; beta2 and eps unused."""
    return Momentum(parameters, lr, beta1, weight_decay)


def optimistic_adam(
    parameters: Parameters, lr: float, beta1: float, beta2: float, eps: float, weight_decay: float
) -> torch.optim.Optimizer:
    """Adam with optimism, see `OptimisticAdam`."""
    return OptimisticAdam(parameters, lr, (beta1, beta2), eps, weight_decay)


OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adam": adam,
    "adamw": adamw,
    "rmsprop": rmsprop,
    "sgd": sgd,
    "optimistic_adam": optimistic_adam,
}


class Momentum(torch.optim.Optimizer):
    """Heavy ball: m <- beta m + g; w <- w - lr m, with beta in (-1, 1).

    torch's SGD refuses a negative beta; here it is the point: with alternating updates beta = -0.5
    takes the spectral radius on min_x max_y xy below 1 (0.99852 at lr = 0.1), where beta = 0 stays
    on the circle. weight_decay d adds d w to g. Polyak 1964; Gidel et al. 2019b, theorem 6.

    Raises:
        ValueError: lr or weight_decay negative, or beta not in (-1, 1).
    """

    def __init__(
        self, parameters: Parameters, lr: float, beta: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        _check_positive(lr=lr, weight_decay=weight_decay)
        if not -1 < beta < 1:
            raise ValueError(f"beta = {beta!r}: momentum lies in (-1, 1); -0.5, 0 and 0.9 are used")
        super().__init__(parameters, {"lr": lr, "beta": beta, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; parameters without a gradient rest."""
        loss = _evaluated(closure)
        for group in self.param_groups:
            live = [p for p in group["params"] if p.grad is not None]
            if not live:
                continue
            moves = _decayed(live, group["weight_decay"])
            if group["beta"]:
                kept = [self._momentum(p) for p in live]
                torch._foreach_mul_(kept, group["beta"])
                torch._foreach_add_(kept, moves)
                moves = kept
            torch._foreach_add_(live, moves, alpha=-group["lr"])
        return loss

    def _momentum(self, parameter: nn.Parameter) -> Tensor:
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        return state["momentum"]


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not value >= 0:
            raise ValueError(f"{name} = {value!r}: it is at least 0")


def _evaluated(closure: Callable[[], Any] | None) -> Any:
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def _decayed(parameters: Sequence[nn.Parameter], weight_decay: float) -> list[Tensor]:
    """g + d w."""
    gradients = [p.grad for p in parameters if p.grad is not None]
    if not weight_decay or not gradients:
        return gradients
    return list(torch._foreach_add(gradients, list(parameters), alpha=weight_decay))


class OptimisticAdam(torch.optim.Optimizer):
    """w <- w - 2 lr u_t + lr u_(t-1), u = m / (sqrt(v) + eps) with Adam's corrected moments.

    u_0 = 0, and lr is the present one in both terms. Optimism turns the outward spiral of plain
    descent on min_x max_y xy into an inward one (spectral radius 0.99494 at h = 0.1). With Adam's
    steps of nearly constant length a cycle around the centre remains: smaller than Adam's (about
    half at betas (0.5, 0.9), a quarter at (0, 0.9)), and it shrinks with lr alone. weight_decay d
    adds d w to the gradient. Daskalakis et al. 2018, algorithm 1.

    Raises:
        ValueError: lr, eps or weight_decay negative, or a beta not in [0, 1).
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        betas: tuple[float, float] = (0.5, 0.9),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        _check_positive(lr=lr, eps=eps, weight_decay=weight_decay)
        if not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"betas = {betas!r}: each lies in [0, 1)")
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; parameters without a gradient rest."""
        loss = _evaluated(closure)
        for group in self.param_groups:
            live = [p for p in group["params"] if p.grad is not None]
            gradients = _decayed(live, group["weight_decay"])
            for parameter, gradient in zip(live, gradients, strict=True):
                self._update(parameter, gradient, group)
        return loss

    def _update(self, parameter: nn.Parameter, gradient: Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros(())
            state.update({k: torch.zeros_like(parameter) for k in ("mean", "square", "last")})
        beta1, beta2 = group["betas"]
        state["step"] += 1
        t = int(state["step"])  # on the CPU: no wait for the device
        state["mean"].lerp_(gradient, 1 - beta1)
        state["square"].mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        scale = (state["square"] / (1 - beta2**t)).sqrt_().add_(group["eps"])
        now = state["mean"] / (1 - beta1**t) / scale
        parameter.add_(now, alpha=-2 * group["lr"]).add_(state["last"], alpha=group["lr"])
        state["last"] = now


class Extragradient:
    """Two-phase updates with any optimizer: look ahead, then step from where one stood.

    `extrapolate()`: w' = step of the base from w, w remembered. `step()`: back to w, then the
    base's step with the gradient taken at w'. All players extrapolate before any steps. The base's
    moments see both gradients (ExtraAdam), and its step hooks run twice a round. On min_x max_y xy
    with plain descent the spectral radius is sqrt(1 - h^2 + h^4). Korpelevich 1976; Gidel et al.
    2019a, algorithms 2 and 4. Use: `extragradient_round`.

    Raises:
        RuntimeError: `extrapolate` twice, or `step` without `extrapolate`.
    """

    def __init__(self, base: torch.optim.Optimizer) -> None:
        self.base = base
        self._anchor: list[Tensor] = []

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The base's groups; set "lr" here or there."""
        return self.base.param_groups

    def _parameters(self) -> list[nn.Parameter]:
        return [p for group in self.base.param_groups for p in group["params"]]

    @torch.no_grad()
    def extrapolate(self) -> None:
        """Remember w and move to w', with the gradients that lie in `.grad`."""
        if self._anchor:
            raise RuntimeError("extrapolate() called twice: call step() in between")
        self._anchor = [p.detach().clone() for p in self._parameters()]
        self.base.step()

    @torch.no_grad()
    def step(self) -> None:
        """Return to w and step from there, with the gradients that lie in `.grad`, taken at w'."""
        if not self._anchor:
            raise RuntimeError("step() without extrapolate(): call extrapolate() first")
        for parameter, anchor in zip(self._parameters(), self._anchor, strict=True):
            parameter.copy_(anchor)
        self._anchor = []
        self.base.step()

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Clear the gradients."""
        self.base.zero_grad(set_to_none=set_to_none)

    def state_dict(self) -> dict[str, Any]:
        """The base's state; between extrapolate and step there is nothing sound to save.

        Raises:
            RuntimeError: called between the phases.
        """
        if self._anchor:
            raise RuntimeError("state_dict() between extrapolate() and step(): save after step()")
        return self.base.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the base."""
        self._anchor = []
        self.base.load_state_dict(state)


def extragradient_round(players: Sequence[Extragradient], gradients: Callable[[], None]) -> None:
    """One simultaneous round: gradients, all extrapolate, gradients there, all step.

    `gradients` clears and fills every player's `.grad` at the present weights; give both calls the
    same batch or two batches alike.
    """
    gradients()
    for player in players:
        player.extrapolate()
    gradients()
    for player in players:
        player.step()


def consensus(losses: Sequence[tuple[Tensor, Sequence[nn.Parameter]]]) -> Tensor:
    """1/2 |v|^2, v the joint gradient: each loss by its player's parameters. A scalar, with graph.

    Add gamma times it to every player's loss, or its gradient to theirs: v <- v - gamma grad
    1/2 |v|^2. It draws to any stationary point, saddles for both players included, so gamma is
    small (0.1 to 10). On the Dirac-GAN the eigenvalues become -gamma/4 +- i/2. Losses must allow a
    second derivative. Mescheder et al. 2017, eq. 10.

    Raises:
        ValueError: no losses.
    """
    if not losses:
        raise ValueError("losses is empty: give (loss, parameters) of each player")
    squares = [
        gradient.float().square().sum() if gradient.dtype.itemsize < 4 else gradient.square().sum()
        for loss, parameters in losses
        for gradient in torch.autograd.grad(
            loss, list(parameters), create_graph=True, materialize_grads=True
        )
    ]
    return torch.stack(squares).sum() / 2


def clip_by_norm(parameters: Parameters, bound: float) -> Tensor:
    """g <- g min(1, bound / |g|) over all parameters together; returns |g| before, as a tensor.

    The direction is kept. With no gradients, 0. Pascanu et al. 2013, algorithm 1.

    Raises:
        ValueError: bound is not positive.
    """
    _check_bound(bound)
    return torch.nn.utils.clip_grad_norm_(list(parameters), bound)


def clip_by_value(parameters: Parameters, bound: float) -> None:
    """Each entry of g into [-bound, bound]; the direction changes.

    Raises:
        ValueError: bound is not positive.
    """
    _check_bound(bound)
    torch.nn.utils.clip_grad_value_(list(parameters), bound)


def _check_bound(bound: float) -> None:
    if not bound > 0:
        raise ValueError(f"bound = {bound!r}: gradients are clipped to a bound above 0; 1 is usual")


@contextlib.contextmanager
def frozen(player: nn.Module | Iterable[nn.Parameter]) -> Iterator[None]:
    """`player`, or its parameters, take no gradients inside: none are paid for, none are left."""
    parameters = player.parameters() if isinstance(player, nn.Module) else player
    live = [p for p in parameters if p.requires_grad]
    for parameter in live:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in live:
            parameter.requires_grad_(True)
