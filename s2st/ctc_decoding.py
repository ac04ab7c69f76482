"""From CTC's log-probabilities to symbols: the best path, and beam search over prefixes (Hannun et al. 2014).

No language model. Shapes: T frames, S symbols, V = 1 + S columns: the blank, then the symbols from 0.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

BLANK = 0
TOKENS = 24  # the likeliest symbols of a frame, with which the beam's prefixes go on


def best_path(log_probs: np.ndarray) -> np.ndarray:
    """Symbols of the likeliest path: log_probs (T, V) -> (N,), runs joined, blanks dropped."""
    path = log_probs.argmax(1)
    starts = np.diff(path, prepend=-1) != 0
    return path[starts & (path != BLANK)] - 1


def fill_path(log_probs: np.ndarray) -> np.ndarray:
    """Give each frame the symbol that the likeliest path had last: log_probs (T, V) -> (T,); the first ones have the
    symbol that comes first, and all are -1 if there is none.
    """
    path = log_probs.argmax(1)
    heard = np.flatnonzero(path != BLANK)
    if not len(heard):
        return np.full(len(path), -1)
    last = np.searchsorted(heard, np.arange(len(path)), side="right") - 1
    return path[heard[last.clip(min=0)]] - 1


def log_probability(log_probs: np.ndarray, sequences: list[np.ndarray]) -> np.ndarray:
    """Log-probability of all paths of each sequence of symbols together: log_probs (T, V) -> (len(sequences),)."""
    sizes = torch.tensor([len(symbols) for symbols in sequences])
    labels = torch.zeros(len(sequences), max(1, int(sizes.max())), dtype=torch.long)
    for row, symbols in zip(labels, sequences, strict=True):
        row[: len(symbols)] = torch.from_numpy(symbols) + 1
    frames = torch.from_numpy(log_probs).double()[:, None].expand(-1, len(sequences), -1)
    lengths = torch.full_like(sizes, len(log_probs))
    return -F.ctc_loss(frames, labels, lengths, sizes, BLANK, reduction="none").numpy()


@dataclass
class Prefixes:
    """Sequences of symbols as nodes of a tree, so that a prefix that comes back is known again. Node 0 is empty."""

    parents: list[int] = field(default_factory=lambda: [-1])
    columns: list[int] = field(default_factory=lambda: [BLANK])
    children: dict[tuple[int, int], int] = field(default_factory=dict)

    def extend(self, node: int, column: int) -> int:
        """Give the node of a prefix and one more symbol."""
        child = self.children.setdefault((node, column), len(self.parents))
        if child == len(self.parents):
            self.parents.append(node)
            self.columns.append(column)
        return child

    def symbols(self, node: int) -> np.ndarray:
        """Give the symbols (N,) of a prefix."""
        columns = []
        while node:
            columns.append(self.columns[node])
            node = self.parents[node]
        return np.array(columns[::-1], np.int64) - 1


def beam_search(log_probs: np.ndarray, beam: int, tokens: int = TOKENS) -> tuple[np.ndarray, float]:
    """Find the likeliest symbols, all their paths together: log_probs (T, V) -> symbols (N,), their log-probability.

    `beam` prefixes are kept from frame to frame, and go on with the `tokens` likeliest symbols. In the end they are
    scored exactly, and the best path with them: what is found is never less likely than that.
    """
    log_probs = np.ascontiguousarray(log_probs, np.float64)
    prefixes = Prefixes()
    nodes = np.zeros(1, np.int64)
    blank, symbol = np.zeros(1), np.full(1, -np.inf)  # log-probabilities of the paths that end in either
    for frame in log_probs:
        likely = 1 + _largest(frame[1:], tokens)
        nodes, blank, symbol = _advance(prefixes, nodes, blank, symbol, frame, likely, beam)
    found = [best_path(log_probs), *map(prefixes.symbols, nodes.tolist())]
    scores = log_probability(log_probs, found) if len(log_probs) else np.zeros(len(found))
    best = int(scores.argmax())
    return found[best], float(scores[best])


def _advance(
    prefixes: Prefixes,
    nodes: np.ndarray,
    blank: np.ndarray,
    symbol: np.ndarray,
    frame: np.ndarray,
    likely: np.ndarray,
    beam: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Take prefixes (B,) a frame on, and keep the best: nodes, and how likely they end in blank or in their symbol."""
    last = np.array([prefixes.columns[node] for node in nodes])
    total = np.logaddexp(blank, symbol)
    stay_blank, stay_symbol = total + frame[BLANK], symbol + frame[last]
    # a symbol twice needs a blank between, or it is one
    extended = np.where(likely == last[:, None], blank[:, None], total[:, None]) + frame[likely]
    places = {node: place for place, node in enumerate(nodes.tolist())}
    columns = {column: place for place, column in enumerate(likely.tolist())}
    for place, node in enumerate(nodes.tolist()):  # a prefix that is kept, and its parent with that symbol, are one
        row, column = places.get(prefixes.parents[node]), columns.get(int(last[place]))
        if row is not None and column is not None:
            stay_symbol[place] = np.logaddexp(stay_symbol[place], extended[row, column])
            extended[row, column] = -np.inf
    kept = _largest(np.concatenate([np.logaddexp(stay_blank, stay_symbol), extended.ravel()]), beam)
    rows, picks = np.divmod(kept[kept >= len(nodes)] - len(nodes), len(likely))
    new = [prefixes.extend(int(nodes[row]), int(likely[pick])) for row, pick in zip(rows, picks, strict=True)]
    stays = kept[kept < len(nodes)]
    return (
        np.concatenate([nodes[stays], np.array(new, np.int64)]),
        np.concatenate([stay_blank[stays], np.full(len(new), -np.inf)]),
        np.concatenate([stay_symbol[stays], extended[rows, picks]]),
    )


def _largest(values: np.ndarray, count: int) -> np.ndarray:
    """Places of the `count` largest values that are possible at all, in no order."""
    places = np.argpartition(values, -count)[-count:] if len(values) > count else np.arange(len(values))
    return places[values[places] > -np.inf]
