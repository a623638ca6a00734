"""Log-likelihoods of token trees under a causal language model of transformers.

One forward pass reads a batch of trees: every node stands once, at its own position, and an attention mask lets it see
its own way from the first token. The vocabulary is weighed only at nodes after which something is predicted, some
nodes at a time. Whether a model takes such masks, and whether its logits are its head applied to its last hidden
states, is tried out once with a few tokens; a model that does not is read option by option, the plain way.
"""

import inspect
import logging
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from moe2_pl.experts._in_process._trees import TokenTree, batches, token_tree

__all__ = ["Reader", "ScoredTree"]

_LOG = logging.getLogger(__name__)
# Numbers of a block of logits: 64 MB in float32.
_BLOCK = 2**24
# Log-probabilities that differ by more are not the same model's: precisions of 24, 11 and 8 bits.
_TOLERANCE = {"float32": 1e-3, "float64": 1e-3, "float16": 0.1, "bfloat16": 0.3}
_PROBE_CONTEXT, _PROBE_OPTIONS = 5, ((3, 1, 4), (3, 1, 5, 9), (2, 6))


@dataclass(frozen=True)
class ScoredTree:
    """What became of a tree.

    Args:
        log_prob: of each option, the sum over its tokens.
        seconds: the share of its batch's time, by nodes.
    """

    log_prob: tuple[float, ...]
    seconds: float


class Reader:
    """Reads token trees with one model.

    Args:
        model: a causal language model of transformers, in evaluation mode.
    """

    def __init__(self, model: Any) -> None:
        import torch

        self.model = model
        self._text = model.config.get_text_config()
        self._dtype = str(model.dtype).removeprefix("torch.")
        self._window = _window(self._text)
        self._head, self._branches = True, False
        with torch.inference_mode():
            self._try_out()

    @property
    def shares_prefixes(self) -> bool:
        """Whether what the options of a request have in common is read once."""
        return self._branches

    @property
    def weighs_only_needed(self) -> bool:
        """Whether the vocabulary is weighed only at nodes after which something is predicted."""
        return self._head

    def score(self, trees: Sequence[TokenTree], tokens_per_batch: int) -> list[ScoredTree]:
        """Log-likelihoods of the options of each tree.

        Args:
            trees: n of them.
            tokens_per_batch: padded tokens of a forward pass.
        """
        import torch

        # Trees that do not branch need no mask of their own, which is faster: they get batches of their own.
        whole = [row for row, tree in enumerate(trees) if not tree.linear and self._readable(tree)]
        split = [row for row, tree in enumerate(trees) if tree.linear or not self._readable(tree)]
        found: dict[int, ScoredTree] = {}
        with torch.inference_mode():
            found |= zip(whole, self._scored([trees[row] for row in whole], tokens_per_batch), strict=True)
            paths = {row: _paths(trees[row]) for row in split}
            scored = iter(self._scored([path for row in split for path in paths[row]], tokens_per_batch))
            for row in split:
                parts = [next(scored) for _ in paths[row]]
                log_prob = tuple(value for part in parts for value in part.log_prob)
                found[row] = ScoredTree(log_prob, sum(part.seconds for part in parts))
        return [found[row] for row in range(len(trees))]

    def _readable(self, tree: TokenTree) -> bool:
        # Within the window all nodes are seen; beyond it a model's own layers know best.
        return self._branches and max(tree.depths) < self._window

    def _scored(self, trees: Sequence[TokenTree], tokens_per_batch: int) -> list[ScoredTree]:
        if not self._head:
            tokens_per_batch = max(1, min(tokens_per_batch, 4 * _BLOCK // self._text.vocab_size))
        found: dict[int, ScoredTree] = {}
        for rows in batches([len(tree) for tree in trees], tokens_per_batch):
            started = time.perf_counter()
            batch = [trees[row] for row in rows]
            values = iter(self._log_probs(batch).tolist())
            sums = [tuple(math.fsum(next(values) for _ in steps) for steps in tree.steps) for tree in batch]
            each = (time.perf_counter() - started) / sum(map(len, batch))
            found |= {row: ScoredTree(s, each * len(trees[row])) for row, s in zip(rows, sums, strict=True)}
        return [found[row] for row in range(len(trees))]

    def _log_probs(self, trees: Sequence[TokenTree]) -> Any:
        """log p of every step of every option of every tree, one after the other."""
        import torch

        width = max(map(len, trees))
        pairs = [
            (row * width + node, token)
            for row, tree in enumerate(trees)
            for steps in tree.steps
            for node, token in steps
        ]
        nodes, inverse = np.unique([node for node, _ in pairs], return_inverse=True)
        place, targets = torch.as_tensor(inverse), torch.tensor([token for _, token in pairs])
        found = torch.empty(len(pairs))
        start = 0
        for logits in self._logits(trees, width, torch.as_tensor(nodes)):
            # The pairs whose nodes are in this block; the vocabulary is normalised once for each node.
            here = ((place >= start) & (place < start + len(logits))).nonzero()[:, 0]
            its, wanted = (place[here] - start).to(logits.device), targets[here].to(logits.device)
            found[here] = (logits[its, wanted] - logits.logsumexp(-1)[its]).cpu()
            start += len(logits)
        return found

    def _logits(self, trees: Sequence[TokenTree], width: int, at: Any) -> Iterator[Any]:
        """Logits [m, vocabulary] in float32 at the nodes ``at`` of the padded batch, some nodes at a time."""
        inputs = self._inputs(trees, width)
        if not self._head:
            logits = self.model(**inputs, use_cache=False).logits.flatten(0, 1)
            yield logits[at.to(logits.device)].float()
            return
        hidden = self.model.get_decoder()(**inputs, use_cache=False).last_hidden_state.flatten(0, 1)
        hidden = hidden[at.to(hidden.device)]
        for part in hidden.split(max(1, _BLOCK // self._text.vocab_size)):
            yield _finished(self._text, self.model.get_output_embeddings()(part).float())

    def _inputs(self, trees: Sequence[TokenTree], width: int) -> dict[str, Any]:
        """Trees padded on the right, where causal attention does not look."""
        import torch

        ids = np.zeros((len(trees), width), dtype=np.int64)
        for row, tree in enumerate(trees):
            ids[row, : len(tree)] = tree.tokens
        inputs = {"input_ids": torch.as_tensor(ids, device=self.model.device)}
        if all(tree.linear for tree in trees):
            return inputs
        depths = np.zeros_like(ids)
        sees = np.zeros((len(trees), width, width), dtype=bool)
        sees[:, :, 0] = True  # padding has to see something
        for row, tree in enumerate(trees):
            depths[row, : len(tree)] = tree.depths
            sees[row, : len(tree), : len(tree)] = tree.sees()
        hidden = ~torch.as_tensor(sees[:, None], device=self.model.device)
        mask = torch.zeros(hidden.shape, dtype=self.model.dtype, device=self.model.device)
        mask.masked_fill_(hidden, torch.finfo(self.model.dtype).min)
        return {
            **inputs,
            "position_ids": torch.as_tensor(depths, device=self.model.device),
            "attention_mask": mask,
        }

    def _try_out(self) -> None:
        """Find out how this model can be read."""
        import torch

        vocabulary = self._text.vocab_size
        context = [token % vocabulary for token in range(7, 7 + _PROBE_CONTEXT)]
        tree = token_tree(context, [[token % vocabulary for token in option] for option in _PROBE_OPTIONS])
        self._head = False
        plain = torch.cat([self._log_probs([path]) for path in _paths(tree)])
        tolerance = _TOLERANCE.get(self._dtype, 0.3)

        def same(other: Any) -> bool:
            return bool((other - plain).abs().max() <= tolerance)

        self._head = (
            self.model.get_output_embeddings() is not None and self.model.get_decoder() is not self.model
        )
        if self._head:
            self._head = same(torch.cat([self._log_probs([path]) for path in _paths(tree)]))
        known = inspect.signature(self.model.get_decoder().forward).parameters
        self._branches = {"position_ids", "attention_mask"} <= known.keys() and same(self._log_probs([tree]))
        if not (self._head and self._branches):
            _LOG.warning(
                "%s is read the plain way, which is slower: prefixes %s shared, vocabulary weighed %s",
                type(self.model).__name__,
                "are" if self._branches else "are not",
                "where needed" if self._head else "everywhere",
            )


def _paths(tree: TokenTree) -> list[TokenTree]:
    """A tree for each option alone; the tree itself where it does not branch."""
    if tree.linear:
        return [tree]
    context = tree.tokens[: tree.context]
    return [token_tree(context, [[token for _, token in steps]]) for steps in tree.steps]


def _window(text_config: Any) -> float:
    """Tokens that every layer sees at least."""
    windows = [getattr(text_config, key, None) for key in ("sliding_window", "attention_chunk_size")]
    return min((window for window in windows if window), default=math.inf)


def _finished(text_config: Any, logits: Any) -> Any:
    """What some families do with the head's output: scale it (Cohere, Granite), or cap it (Gemma 2)."""
    logits = logits * (getattr(text_config, "logit_scale", None) or 1.0)
    logits = logits / (getattr(text_config, "logits_scaling", None) or 1.0)
    cap = getattr(text_config, "final_logit_softcapping", None)
    return logits if cap is None else cap * (logits / cap).tanh()
