"""Losses whose shapes broadcast by accident, read from the graph that a loss keeps."""

from __future__ import annotations

from typing import Any

from torch import Tensor

MOST_NODES = 4096
MOST_SAMPLES = 1 << 16
ELEMENTWISE = (
    "Add", "Sub", "Mul", "Div", "Rsub", "Maximum", "Minimum", "MseLoss", "BinaryCrossEntropy",
    "L1Loss", "SmoothL1", "Where",
)  # fmt: skip


def accidental(loss: Any) -> tuple[int, ...] | None:
    """Shape of an (N, N) result where (N, 1) met (N,) below `loss`; None where there is none.

    Two operands of equal rank that stretch, (N, 1) and (1, N), are all pairs on purpose.
    """
    if not isinstance(loss, Tensor) or loss.grad_fn is None:
        return None
    seen: set[Any] = set()
    stack: list[Any] = [loss.grad_fn]
    while stack and len(seen) < MOST_NODES:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        found = _outer(node)
        if found is not None:
            return found
        stack += [following for following, _ in node.next_functions]
    return None


def _outer(node: Any) -> tuple[int, ...] | None:
    shape = _shape(node)
    if len(shape) != 2 or shape[0] != shape[1] or shape[0] < 2:
        return None
    if not node.name().startswith(ELEMENTWISE):
        return None
    operands = [_shape(n, at) for n, at in node.next_functions if n is not None]
    column = any(s == (shape[0], 1) for s in operands)
    row = any(s == (shape[0],) for s in operands)
    hidden = any(n is None for n, _ in node.next_functions)  # a label, which keeps no graph
    both = column and row
    return shape if both or (hidden and (column or row) and len(operands) == 1) else None


def _shape(node: Any, at: int = 0) -> tuple[int, ...]:
    """Shape of the tensor that `node` made, () where autograd does not tell."""
    told = getattr(node, "_input_metadata", ())
    return tuple(int(n) for n in told[at].shape) if at < len(told) else ()
