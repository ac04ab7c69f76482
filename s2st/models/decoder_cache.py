"""What a Transformer decoder remembers between steps: keys and values of the source and of the target so far.

The beams of a sentence are a tree: most of them part late. So keys and values are kept once a node of the tree, not
once a beam. Each beam attends to the nodes on its way; to choose among beams changes who sees what, and moves nothing.

Shapes: N sentences, K beams, S source length, T target length, C nodes of a tree, H heads, D model width.
"""

from dataclasses import dataclass, field
from itertools import chain

import torch
from torch import Tensor

KeysValues = tuple[Tensor, Tensor]  # each (N, H, length, D / H)
STEPS_OF_ROOM = 4  # between two times that nodes are dropped


@dataclass
class DecoderCache:
    """Keys and values of each layer, for N sentences that are decoded along one or more beams each.

    Rows are beams, those of a sentence side by side. The first step may read many positions of one beam; each later
    one reads a position of every beam.
    """

    num_sentences: int  # N
    memory: list[KeysValues]  # of the encoder's output; none in a language model
    memory_mask: Tensor | None  # (N, 1, 1, S), bool
    past: list[KeysValues] = field(default_factory=list)  # of the nodes, each (N, C, H, D / H)
    seen: Tensor | None = None  # (N, K, C), bool: the nodes that a beam attends to; None before the first step
    num_nodes: int = 0  # of C; behind them is room
    limit: int = 0  # of num_nodes; there, the nodes that no beam sees any more are dropped
    length: int = 0  # positions that each beam has read

    def advance(self, num_positions: int, device: torch.device) -> None:
        """Make room for what a step reads: positions of the only beam if it is the first, else one a beam."""
        if self.seen is None:
            self.length = self.num_nodes = self.limit = num_positions
            self.seen = torch.ones(self.num_sentences, 1, num_positions, dtype=torch.bool, device=device)
            return
        if self.num_nodes + num_positions > self.limit:
            self._drop_unseen()
            self.limit = self.num_nodes + num_positions * STEPS_OF_ROOM
            if self.limit > self.seen.size(2):
                self._grow(2 * self.limit)
        new = slice(self.num_nodes, self.num_nodes + num_positions)
        self.seen[:, :, new] = torch.eye(num_positions, dtype=torch.bool, device=device)
        self.length += 1
        self.num_nodes += num_positions

    def extend(self, layer: int, keys: Tensor, values: Tensor) -> tuple[KeysValues, Tensor | None]:
        """Add keys and values of a layer, each (N, H, positions, D / H), after `advance` for all layers.

        Gives those to attend to, and the mask (N, 1, K, nodes) of attention; in the first step, it is causal instead.
        """
        if layer == len(self.past):
            self.past.append((keys.transpose(1, 2), values.transpose(1, 2)))
            return (keys, values), None
        assert self.seen is not None
        for nodes, new in zip(self.past[layer], (keys, values), strict=True):
            nodes[:, self.num_nodes - new.size(2) : self.num_nodes] = new.transpose(1, 2)
        past_keys, past_values = (nodes[:, : self.num_nodes].transpose(1, 2) for nodes in self.past[layer])
        return (past_keys, past_values), self.seen[:, None, :, : self.num_nodes]

    def select(self, sentences: Tensor | None, rows: Tensor) -> None:
        """Keep these sentences (None: all), and of each these rows (N, K), in this order."""
        if sentences is not None:
            self.num_sentences = len(sentences)
            self.memory = [(keys[sentences], values[sentences]) for keys, values in self.memory]
            self.past = [(keys[sentences], values[sentences]) for keys, values in self.past]
            self.memory_mask = None if self.memory_mask is None else self.memory_mask[sentences]
        if self.seen is not None:
            self.seen = self.seen.flatten(0, 1)[rows]

    def _drop_unseen(self) -> None:
        """Move the nodes that a beam sees to the front, over those that none sees; most stay where they are."""
        assert self.seen is not None
        alive = self.seen[:, :, : self.num_nodes].any(1)  # (N, C)
        self.num_nodes = int(alive.sum(1).max())
        order = alive.int().argsort(dim=1, descending=True, stable=True)
        places = torch.arange(order.size(1), device=order.device)
        moved = alive.gather(1, order) & (order != places)
        sentences, new = moved.nonzero(as_tuple=True)
        old = order[moved]
        for nodes in chain.from_iterable(self.past):
            nodes[sentences, new] = nodes[sentences, old]
        self.seen[:, :, : order.size(1)] = self.seen.gather(2, order[:, None].expand(-1, self.seen.size(1), -1))

    def _grow(self, size: int) -> None:
        """Have room for so many nodes."""
        assert self.seen is not None
        self.seen = torch.nn.functional.pad(self.seen, (0, size - self.seen.size(2)))
        self.past = [(_longer(keys, size), _longer(values, size)) for keys, values in self.past]


def _longer(nodes: Tensor, size: int) -> Tensor:
    """nodes (N, C, H, D / H) -> (N, size, H, D / H), of which the first C are those."""
    longer = nodes.new_empty(len(nodes), size, *nodes.shape[2:])
    longer[:, : nodes.size(1)] = nodes
    return longer
