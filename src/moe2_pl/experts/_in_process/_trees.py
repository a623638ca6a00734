"""Token trees: what the options of a request have in common stands once. And batches of what is similarly long."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenTree", "batches", "token_tree"]

# A batch holds lengths down to this share of its longest, once it fills a part of the budget.
_LIKE, _PARTS = 0.8, 8


@dataclass(frozen=True)
class TokenTree:
    """The tokens that a model reads to weigh the options of a request, T nodes.

    Args:
        tokens: T of them; the context first, one after the other.
        parents: T indices of the node before, −1 for the first.
        depths: T numbers of nodes before, their positions in the text.
        context: nodes of the context.
        steps: for each option, its tokens, each with the node after which it is to be predicted.
    """

    tokens: tuple[int, ...]
    parents: tuple[int, ...]
    depths: tuple[int, ...]
    context: int
    steps: tuple[tuple[tuple[int, int], ...], ...]

    def __len__(self) -> int:
        return len(self.tokens)

    @property
    def linear(self) -> bool:
        """Whether it does not branch, so that every node sees all nodes before it."""
        return all(parent == node - 1 for node, parent in enumerate(self.parents))

    def sees(self) -> NDArray[np.bool_]:
        """[T, T]: which nodes (columns) a node (row) sees: itself and all on its way from the first."""
        at = self.context
        found = np.zeros((len(self), len(self)), dtype=bool)
        found[:, :at] = True
        found[:at, :at] = np.tri(at, dtype=bool)
        for node in range(at, len(self)):
            if self.parents[node] >= at:
                found[node] = found[self.parents[node]]
            found[node, node] = True
        return found


def token_tree(context: Sequence[int], options: Sequence[Sequence[int]]) -> TokenTree:
    """The tree of a context of at least one token and of options of at least one token each.

    The last token of an option is predicted, never read, so options of one token add no node.

    Example:
        >>> tree = token_tree([5, 6], [[7, 8, 9], [7, 1], [2]])
        >>> tree.tokens, tree.parents
        ((5, 6, 7, 8), (-1, 0, 1, 2))
        >>> tree.steps
        (((1, 7), (2, 8), (3, 9)), ((1, 7), (2, 1)), ((1, 2),))
    """
    tokens, parents, depths = list(context), list(range(-1, len(context) - 1)), list(range(len(context)))
    known: dict[tuple[int, int], int] = {}
    steps = []
    for option in options:
        node, path = len(context) - 1, []
        for place, token in enumerate(option):
            path.append((node, token))
            if place == len(option) - 1:
                break
            after = known.setdefault((node, token), len(tokens))
            if after == len(tokens):
                tokens.append(token)
                parents.append(node)
                depths.append(depths[node] + 1)
            node = after
        steps.append(tuple(path))
    return TokenTree(tuple(tokens), tuple(parents), tuple(depths), len(context), tuple(steps))


def batches(lengths: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Indices in batches of similar length, the longest first; at least one each.

    A batch also ends where the next would be mostly padding, unless the batch is still a small part of the budget.

    Args:
        lengths: n of them.
        budget: the longest of a batch times its number stays within it.

    Example:
        >>> list(batches([4, 9, 4, 8], 18))
        [[1, 3], [0, 2]]
        >>> list(batches([2, 50, 48, 3], 200))
        [[1, 2], [3, 0]]
    """
    batch: list[int] = []
    filled = 0
    for index in sorted(range(len(lengths)), key=lambda index: -lengths[index]):
        width = lengths[batch[0]] if batch else 0
        full = (len(batch) + 1) * width > budget
        unlike = lengths[index] < _LIKE * width and filled >= budget / _PARTS
        if batch and (full or unlike):
            yield batch
            batch, filled = [], 0
        batch.append(index)
        filled += lengths[index]
    if batch:
        yield batch
