"""A forest of randomised trees beside the network, stored as tensors: a checkpoint stays free of pickles.

scikit-learn grows the trees once, before the network's first step; here they are only walked.
"""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from moe2_pl.errors import ConfigError
from moe2_pl.gate._tables import Tables

__all__ = ["Forest"]

# Rows walked at a time, so that [T, rows, M] stays small for any number of queries.
_ROWS = 1024


class Forest(Tables):
    """Extremely randomised trees (Geurts, Ernst & Wehenkel 2006) over all outputs at once.

    Node v of tree t sends x to child[t, v, 0] where x[feature[t, v]] ≤ threshold[t, v], else to
    child[t, v, 1]; a leaf is its own child. The answer is the mean over trees of value[t, leaf].

    Args:
        trees: T.
        min_leaf: fewest training rows in a leaf.
        max_features: share of the features that a split draws from.
    """

    name = "forest"
    defaults: ClassVar = {"trees": 128, "min_leaf": 3, "max_features": 0.3}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        if self.options["max_features"] > 1:
            raise ConfigError(f"gate.fitted.max_features is {self.options['max_features']}; need at most 1")
        self.register_buffer("feature", torch.zeros(0, 0, dtype=torch.int16))
        self.register_buffer("threshold", torch.zeros(0, 0))
        self.register_buffer("child", torch.zeros(0, 0, 2, dtype=torch.int32))
        self.register_buffer("value", torch.zeros(0, 0, 0, dtype=torch.float16))
        self.feature: Tensor
        self.threshold: Tensor
        self.child: Tensor
        self.value: Tensor
        # Splits on the longest way from a root to a leaf.
        self.depth = 0

    def prepare(self) -> None:
        """Measure the depth."""
        self.depth = self._deepest() if self.feature.numel() else 0

    def _deepest(self) -> int:
        # Children have larger numbers than their parents, but for leaves, which are their own.
        trees = torch.arange(len(self.feature), device=self.child.device)
        level = torch.zeros(self.feature.shape, dtype=torch.int32, device=self.child.device)
        for v in range(self.feature.shape[1]):
            below = self.child[:, v].long()
            inner = below[:, 0] != v
            for side in range(2):
                level[trees[inner], below[inner, side]] = level[inner, v] + 1
        return int(level.max())

    def grow(self, x: Tensor, target: Tensor, seed: int) -> None:
        """Grow the trees; see :meth:`Tables.grow`."""
        from sklearn.ensemble import ExtraTreesRegressor

        forest = ExtraTreesRegressor(
            n_estimators=self.options["trees"],
            min_samples_leaf=self.options["min_leaf"],
            max_features=self.options["max_features"],
            n_jobs=-1,
            random_state=seed % 2**32,
        ).fit(x.cpu().numpy(), target.cpu().numpy())
        grown = [tree.tree_ for tree in forest.estimators_]
        most = max(tree.node_count for tree in grown)
        shape = (len(grown), most)
        feature = np.zeros(shape, dtype=np.int16)
        threshold = np.zeros(shape, dtype=np.float32)
        child = np.zeros((*shape, 2), dtype=np.int32)
        value = np.zeros((*shape, target.shape[1]), dtype=np.float16)
        for t, tree in enumerate(grown):
            nodes = np.arange(tree.node_count)
            leaf = tree.children_left < 0
            feature[t, nodes] = np.where(leaf, 0, tree.feature)
            # scikit-learn compares a float32 x with a float64 threshold; rounding down keeps every answer.
            threshold[t, nodes] = _not_above(tree.threshold)
            child[t, nodes, 0] = np.where(leaf, nodes, tree.children_left)
            child[t, nodes, 1] = np.where(leaf, nodes, tree.children_right)
            value[t, nodes] = tree.value.reshape(tree.node_count, -1)
        for name, array in (
            ("feature", feature),
            ("threshold", threshold),
            ("child", child),
            ("value", value),
        ):
            setattr(self, name, torch.from_numpy(array).to(x.device))
        self.prepare()

    def extend(self, x: Tensor, target: Tensor) -> None:
        """A leaf answers with the mean target of the rows that reach it, 0 where there are none."""
        total = torch.zeros(*self.feature.shape, target.shape[1], device=x.device)
        rows = torch.zeros(*self.feature.shape, 1, device=x.device)
        trees = torch.arange(len(self.feature), device=x.device)[:, None]
        for part, wanted in zip(torch.split(x, _ROWS), torch.split(target, _ROWS), strict=True):
            at = (trees.expand(-1, len(part)), self._leaf(part).long())
            total.index_put_(at, wanted.expand(len(trees), *wanted.shape), accumulate=True)
            rows.index_put_(at, torch.ones(len(trees), len(part), 1, device=x.device), accumulate=True)
        added = (total / rows.clamp_min(1)).to(self.value.dtype)
        self.value = torch.cat([self.value, added], dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, M] the mean answer of the trees to x [n, d]."""
        if torch.compiler.is_exporting():
            return self._walk(x)
        return torch.cat([self._walk(rows) for rows in torch.split(x, _ROWS)])

    def _walk(self, x: Tensor) -> Tensor:
        leaf = self._leaf(x) + self._first_node()
        value = self.value.flatten(0, 1).index_select(0, leaf.flatten())
        return value.view(*leaf.shape, -1).float().mean(0)

    def _leaf(self, x: Tensor) -> Tensor:
        """[T, n] the leaf of each tree that x [n, d] falls into."""
        # Flat tables and index_select: for one query the walk is as long as its operations are many.
        feature, threshold, child = (t.flatten() for t in (self.feature, self.threshold, self.child))
        values, width = x.flatten(), x.shape[1]
        first = self._first_node()
        row = torch.arange(x.shape[0], device=x.device, dtype=torch.int32) * width
        node = torch.zeros(self.feature.shape[0], x.shape[0], dtype=torch.int32, device=x.device)
        # An exported graph cannot ask whether all rows have arrived: it goes as deep as the deepest tree.
        for _ in range(self.depth):
            at = (node + first).flatten()
            looked_at = (feature.index_select(0, at).view_as(node) + row).flatten()
            right = values.index_select(0, looked_at) > threshold.index_select(0, at)
            below = child.index_select(0, at * 2 + right).view_as(node)
            if not torch.compiler.is_exporting() and torch.equal(below, node):
                break
            node = below
        return node

    def _first_node(self) -> Tensor:
        """[T, 1] number of each tree's root where the nodes of all trees are counted through."""
        trees, nodes = self.feature.shape
        return torch.arange(trees, device=self.feature.device, dtype=torch.int32)[:, None] * nodes


def _not_above(value: np.ndarray[Any, np.dtype[np.float64]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The largest float32 that is not above each float64."""
    rounded = value.astype(np.float32)
    return np.where(rounded > value, np.nextafter(rounded, np.float32(-np.inf)), rounded)
