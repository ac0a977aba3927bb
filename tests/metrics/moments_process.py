"""One process of the tests in `test_moments.py`: updates its share, reduces, tells what it got."""

import sys
from pathlib import Path

import torch
from torch import distributed

from equipoise.metrics.states import FeatureStore, Moments


def main(rank, size, folder):
    torch.set_num_threads(1)
    store = f"file://{folder / 'store'}"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=size)
    x = torch.load(folder / "x.pt", weights_only=True)
    mine = x[rank::size] if rank < 3 else x[:0]  # the fourth process sees nothing
    if size == 4 and rank == 2:
        mine = x[torch.arange(2, len(x), 4).tolist() + torch.arange(3, len(x), 4).tolist()]
    index = [i for i in range(len(x)) if (min(i % size, 2) if size == 4 else i % size) == rank]
    moments, kept = Moments(x.shape[1]), FeatureStore(20, seed=5)
    if len(mine):
        moments.update(mine)
        kept.update(x[index], torch.tensor(index))
    whole, sample = moments.reduce(), kept.reduce()
    again = moments.reduce()
    told = {
        "n": whole.n,
        "mean": whole.mean,
        "covariance": whole.covariance(),
        "again": again.covariance(),
        "local": moments.n,
        "features": sample.features,
        "index": sample.index,
        "seen": sample.seen,
    }
    try:
        Moments(3 + rank).reduce()
    except ValueError as error:
        told["refused"] = str(error)
    torch.save(told, folder / f"rank{rank}.pt")
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
