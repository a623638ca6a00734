"""What a small language model of the pool makes of a prompt by reading it: signals that an edge box has for free.

Needs the extra ``experts`` (transformers, gguf); recorded outputs carry the signals and need no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from moe2_pl.experts import find_model, load_model
from moe2_pl.outputs._cache import ArrayCache, Arrays, digest

__all__ = ["SignalProjection", "prompt_states"]

Floats = NDArray[np.float32]
# Prompts per entry of the cache.
_CHUNK = 256


def prompt_states(
    prompts: Sequence[str],
    model: str,
    *,
    gguf_file: str | None = None,
    last_layer: int = 20,
    mean_layer: int = 10,
    max_tokens: int = 512,
    tokens_per_batch: int = 8192,
    cache: Path | None = None,
) -> Arrays:
    """Hidden states and surprise of each prompt under a causal language model.

    Args:
        prompts: n texts.
        model: a causal language model, as :func:`moe2_pl.experts.find_model` finds it.
        gguf_file: file in its folder, where it holds GGUF.
        last_layer: layer whose state at the last token is kept.
        mean_layer: layer whose states are averaged over the tokens.
        max_tokens: longer prompts are truncated.
        tokens_per_batch: padded tokens per forward pass.
        cache: folder of what was computed before, under the hash of model, settings and prompts.

    Returns:
        ``last`` and ``mean`` [n, h], and ``surprise`` [n, 6]: of the tokens' negative log-likelihood in nats the
        mean, the deviation and the largest; the mean entropy of the next token, the one after the whole prompt, and
        the logarithm of the number of tokens.

    Raises:
        ConfigError: transformers is not installed, or there is no such model.
    """
    files = find_model(model, gguf_file)
    settings = {
        "model": files.identity.get("sha256", files.identity),
        "layers": [last_layer, mean_layer],
        "max_tokens": max_tokens,
    }
    reader: _Reader | None = None

    def read(chunk: Sequence[str]) -> Arrays:
        nonlocal reader
        reader = reader or _Reader(
            *load_model(files, "float32", "cpu"), last_layer, mean_layer, max_tokens, tokens_per_batch
        )
        return reader.read(chunk)

    store = ArrayCache(cache)
    chunks = [list(prompts[start : start + _CHUNK]) for start in range(0, len(prompts), _CHUNK)]
    found = [
        store.get(digest({**settings, "prompts": chunk}), lambda chunk=chunk: read(chunk))  # type: ignore[misc]
        for chunk in chunks
    ]
    return {name: np.concatenate([part[name] for part in found]) for name in ("last", "mean", "surprise")}


class _Reader:
    """A loaded language model."""

    def __init__(self, model: Any, tokenizer: Any, *settings: int) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.last_layer, self.mean_layer, self.max_tokens, self.tokens_per_batch = settings

    def read(self, prompts: Sequence[str]) -> Arrays:
        ids = [self.tokenizer(prompt)["input_ids"][: self.max_tokens] for prompt in prompts]
        width = self.model.config.hidden_size
        out = {
            "last": np.zeros((len(ids), width), np.float32),
            "mean": np.zeros((len(ids), width), np.float32),
            "surprise": np.zeros((len(ids), 6), np.float32),
        }
        order = sorted(range(len(ids)), key=lambda i: len(ids[i]))
        while order:
            # Sorted ascending, so the last row of a batch sets its width; grow until the budget is full.
            size = 1
            while size < len(order) and (size + 1) * len(ids[order[size]]) <= self.tokens_per_batch:
                size += 1
            rows, order = order[:size], order[size:]
            for name, value in self._states([ids[i] for i in rows]).items():
                out[name][rows] = value
        return out

    def _states(self, ids: list[list[int]]) -> dict[str, Any]:
        import torch

        length = torch.tensor([len(row) for row in ids])
        tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in ids], batch_first=True)
        there = torch.arange(tokens.shape[1]) < length[:, None]
        with torch.inference_mode():
            out = self.model(tokens, attention_mask=there.long(), output_hidden_states=True)
            each = torch.arange(len(ids))
            middle = out.hidden_states[self.mean_layer]
            log_p = torch.log_softmax(out.logits[:, :-1].float(), dim=-1)
            nll = -log_p.gather(2, tokens[:, 1:, None])[..., 0]
            entropy = -(log_p.exp() * log_p).sum(-1)
            inside = there[:, 1:].float()
            count = inside.sum(1).clamp_min(1)
            mean = (nll * inside).sum(1) / count
            surprise = (
                mean,
                (((nll - mean[:, None]) ** 2 * inside).sum(1) / count).sqrt(),
                (nll * inside).max(1).values,
                (entropy * inside).sum(1) / count,
                entropy[each, (length - 2).clamp_min(0)],
                count.log(),
            )
            return {
                "last": out.hidden_states[self.last_layer][each, length - 1].numpy(),
                "mean": ((middle * there[..., None]).sum(1) / length[:, None]).numpy(),
                "surprise": torch.stack(surprise, dim=1).numpy(),
            }


@dataclass(frozen=True, eq=False)
class SignalProjection:
    """From states to signals: the leading principal components of both states, scaled to deviation 1.

    Args:
        last_centre, mean_centre: [h].
        last_basis, mean_basis: [h, components].
    """

    last_centre: Floats
    last_basis: Floats
    mean_centre: Floats
    mean_basis: Floats

    @classmethod
    def fit(cls, states: Arrays, components: tuple[int, int] = (96, 64)) -> "SignalProjection":
        """The components of given states of n prompts; fewer where n or h is smaller."""
        from sklearn.decomposition import PCA

        found: dict[str, Floats] = {}
        for name, most in zip(("last", "mean"), components, strict=True):
            pca = PCA(min(most, *states[name].shape), svd_solver="full").fit(states[name].astype(np.float64))
            found[f"{name}_centre"] = pca.mean_.astype(np.float32)
            scale = np.sqrt(pca.explained_variance_).clip(1e-6)
            found[f"{name}_basis"] = (pca.components_.T / scale).astype(np.float32)
        return cls(**found)

    def __call__(self, states: Arrays) -> Floats:
        """[n, d] signals: components of ``last``, components of ``mean``, and ``surprise``."""
        return np.hstack(
            [
                (states["last"] - self.last_centre) @ self.last_basis,
                (states["mean"] - self.mean_centre) @ self.mean_basis,
                states["surprise"],
            ]
        ).astype(np.float32)

    def save(self, path: Path) -> None:
        """Write the file ``path``."""
        from safetensors.numpy import save_file

        save_file({f.name: np.ascontiguousarray(getattr(self, f.name)) for f in fields(self)}, path)

    @classmethod
    def load(cls, path: Path) -> "SignalProjection":
        """Read what :meth:`save` wrote."""
        from safetensors.numpy import load_file

        return cls(**load_file(path))
