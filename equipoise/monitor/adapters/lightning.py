"""The monitor as a Lightning callback, for manual optimization."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from torch import nn

from equipoise.errors import MissingExtraError, StopTraining, need, unknown
from equipoise.monitor.monitor import Monitor
from equipoise.record import Diagnosis

HOMES = ("lightning.pytorch", "pytorch_lightning")  # the same code under two names
SHOWN = (
    "real", "fake", "real_logits", "fake_logits", "generator_logits", "losses", "adaptive_weight",
)  # fmt: skip
Names = str | Sequence[str]


def _callback() -> type:
    """Lightning's `Callback`, from the package that the script has imported, else from either."""
    for name in sorted(HOMES, key=lambda home: home not in sys.modules):
        try:
            kind: type = import_module(name).Callback
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise
        else:
            return kind
    raise _missing()


def _missing() -> MissingExtraError:
    return need("pytorch_lightning", "lightning")


class EquipoiseCallback(_callback()):  # type: ignore[misc]  # the base is chosen at import
    """Attaches a `Monitor` when training starts and observes every batch.

    What a batch showed comes from `training_step`: a mapping that it returns, or that it leaves in
    the module's attribute `equipoise`, with any of `Monitor.observe`'s arguments (`real`, `fake`,
    `real_logits`, `fake_logits`, `generator_logits`, `losses`, `adaptive_weight`). Other entries of
    a returned mapping are passed over; the attribute may hold further scalars. Steps are batches:
    Lightning's own `global_step` counts every optimizer's step.

    `on_finding="stop"` ends training through `trainer.should_stop`. Under several processes each
    watches its own share; `run_dir` and `sinks` serve the first alone.

    >>> Trainer(callbacks=[EquipoiseCallback("generator", "discriminator")])   # doctest: +SKIP

    Attributes:
        monitor: the `Monitor`, None before training.
    """

    def __init__(
        self,
        generator: Names = "generator",
        discriminator: Names = "discriminator",
        *,
        generator_optimizer: int = 0,
        discriminator_optimizer: int = 1,
        audit: int = 0,
        **options: Any,
    ) -> None:
        """Name the players.

        Args:
            generator, discriminator: attributes of the LightningModule, dotted where nested
                ("loss.discriminator"), or lists of them.
            generator_optimizer, discriminator_optimizer: places in what `configure_optimizers`
                returns.
            audit: updates of each player that the wiring audit watches, 0 for none.
            options: keywords of `Monitor`.
        """
        super().__init__()
        self.monitor: Monitor | None = None
        self._names = {"generator": generator, "discriminator": discriminator}
        self._places = {
            "generator_optimizer": generator_optimizer,
            "discriminator_optimizer": discriminator_optimizer,
        }
        self._steps, self._options = audit, options
        self._state: Mapping[str, Any] | None = None

    def diagnose(self) -> Diagnosis:
        """Judge the run so far.

        Raises:
            ValueError: training has not started.
        """
        if self.monitor is None:
            raise ValueError("monitor = None: diagnose() works from the first batch of fit() on")
        return self.monitor.diagnose()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Attach; optimizers exist by now and a checkpoint has been restored.

        Raises:
            ValueError: the module has no such attribute, or the trainer no such optimizer.
        """
        options = dict(self._options)
        if not trainer.is_global_zero:
            options |= {"run_dir": None, "sinks": ()}
        generator, discriminator = (_modules(pl_module, *named) for named in self._names.items())
        optimizers = [_optimizer(trainer, *placed) for placed in self._places.items()]
        self.monitor = Monitor(generator, discriminator, *optimizers, **options)
        if self._state is not None:
            self.monitor.load_state_dict(self._state)
        if self._steps:
            self.monitor.audit(self._steps)

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Observe one batch; a request to stop becomes Lightning's own."""
        returned = outputs if isinstance(outputs, Mapping) else {}
        left = getattr(pl_module, "equipoise", None)
        shown = {name: returned[name] for name in SHOWN if name in returned}
        if isinstance(left, Mapping):
            shown |= left
            pl_module.equipoise = None  # nothing is kept alive until the next batch
        if self.monitor is not None:
            try:
                self.monitor.observe(**shown)
            except StopTraining as request:
                print(f"equipoise: {request}", file=sys.stderr)
                trainer.should_stop = True

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """Write what is pending and let go; `monitor` still answers."""
        self._close()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        """The same where training breaks off."""
        self._close()

    def _close(self) -> None:
        if self.monitor is not None:
            self.monitor.close()

    def state_dict(self) -> dict[str, Any]:
        """The monitor's counters, for Lightning's checkpoint."""
        return {} if self.monitor is None else self.monitor.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Kept until training starts."""
        self._state = state_dict or None


def _modules(owner: nn.Module, role: str, names: Names) -> dict[str, nn.Module]:
    """The modules under these names, by role, or by name where there are several."""
    wanted = [names] if isinstance(names, str) else list(names)
    found = [_module(owner, role, name) for name in wanted]
    return dict(zip(wanted if len(wanted) > 1 else [role], found, strict=True))


def _module(owner: nn.Module, role: str, name: str) -> nn.Module:
    known = dict(owner.named_modules())
    if name not in known or not name:
        nested = f"{role} = {name!r}: " + unknown("attribute", name, [n for n in known if n])
        raise ValueError(f"{nested}; name a module of {type(owner).__name__}")
    return known[name]


def _optimizer(trainer: Any, argument: str, place: int) -> Any:
    count = len(trainer.optimizers)
    if not 0 <= place < count:
        raise ValueError(
            f"{argument} = {place!r}: configure_optimizers returned {count} of them; give a place"
            f" from 0 to {count - 1}"
        )
    return trainer.optimizers[place]
