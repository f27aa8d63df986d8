"""The network of the paper in a straightforward PyTorch loop, to be compared with.

    TORCH/bin/python benchmarks/torch_loop.py STEPS

runs on one thread: for each line on its standard input it trains STEPS batches of 100 tiles and
writes the seconds a step. Its first line names PyTorch's version and the number of parameters.
Nothing of the project is imported: PyTorch has an environment of its own.
"""

import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

BATCH, SIZE = 100, 40


class Network(nn.Module):
    """As `cosmodeep_hpc.learn.network.build`, with the pyramid."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, padding=1)
        self.conv2 = nn.Conv2d(32, 64, 3, padding=1)
        self.hidden = nn.Linear(640, 1024)
        self.logits = nn.Linear(1024, 2)

    def forward(self, tiles: torch.Tensor) -> torch.Tensor:
        """Return logits (n, 2) of tiles (n, 1, 40, 40)."""
        maps = F.max_pool2d(F.relu(self.conv1(tiles)), 2)
        maps = F.relu(self.conv2(maps))
        bins = F.max_pool2d(maps, 7, ceil_mode=True).flatten(1)
        units = F.relu(self.hidden(torch.cat([bins, maps.amax((2, 3))], 1)))
        return self.logits(F.dropout(units, 0.25, self.training))


def main() -> None:
    """Time a stretch for each line of input."""
    torch.set_num_threads(1)
    net = Network()
    optimizer = torch.optim.Adam(net.parameters(), 7e-5)
    random = np.random.default_rng(1)
    tiles = torch.tensor(random.normal(size=(BATCH, 1, SIZE, SIZE)).astype(np.float32))
    labels = torch.tensor((random.random(BATCH) < 0.5).astype(np.int64))

    def step() -> None:
        optimizer.zero_grad()
        loss = F.cross_entropy(net(tiles), labels)
        loss.backward()
        optimizer.step()
        loss.item()

    for _ in range(3):
        step()
    print(torch.__version__, sum(p.numel() for p in net.parameters()), flush=True)
    steps = int(sys.argv[1])
    for _ in sys.stdin:
        start = time.perf_counter()
        for _ in range(steps):
            step()
        print((time.perf_counter() - start) / steps, flush=True)


if __name__ == "__main__":
    main()
