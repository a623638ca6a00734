"""Sentence embeddings from a BERT-like encoder in a local folder or on the Hub.

Needs the extra ``experts`` (transformers); recorded outputs carry their embeddings and need no encoder.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from moe2_pl.errors import ConfigError
from moe2_pl.experts import find_model

__all__ = ["encode_mean_pooled"]


def encode_mean_pooled(
    prompts: Sequence[str], model: str, *, max_tokens: int = 512, tokens_per_batch: int = 8192
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Mean-pooled, L2-normalised last hidden states, as sentence-transformers computes them for MiniLM.

    Args:
        prompts: n texts.
        model: as :func:`moe2_pl.experts.find_model` finds it; ``transformers.AutoModel`` loads it.
        max_tokens: longer prompts are truncated for the embedding, not for the count.
        tokens_per_batch: padded tokens per forward pass; prompts are sorted by length to pad little.

    Returns:
        embeddings [n, d] and the untruncated number of tokens of each prompt [n].

    Raises:
        ConfigError: transformers is not installed, or there is no such model.
    """
    try:
        import torch
        from transformers import AutoModel, AutoTokenizer
    except ImportError as error:
        raise ConfigError("encoding prompts needs transformers: pip install 'moe2-pl[experts]'") from error
    folder = str(find_model(model).local())
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        network = AutoModel.from_pretrained(folder, use_safetensors=True).eval()
    except (OSError, ValueError) as error:
        raise ConfigError(f"encoder '{model}' cannot be loaded: {str(error).splitlines()[0]}") from error
    count = np.array(
        [len(ids) for ids in tokenizer(list(prompts), verbose=False)["input_ids"]], dtype=np.int64
    )
    order = np.argsort(count, kind="stable")
    output = np.zeros((len(prompts), network.config.hidden_size), dtype=np.float32)
    start = 0
    while start < len(order):
        # Sorted ascending, so the last row of a batch sets its width; grow until the budget is full.
        stop = start + 1
        while (
            stop < len(order) and (stop + 1 - start) * min(count[order[stop]], max_tokens) <= tokens_per_batch
        ):
            stop += 1
        rows = order[start:stop]
        batch = tokenizer(
            [prompts[i] for i in rows],
            padding=True,
            truncation=True,
            max_length=max_tokens,
            return_tensors="pt",
        )
        with torch.inference_mode():
            hidden = network(**batch).last_hidden_state
            mask = batch["attention_mask"].unsqueeze(-1).float()
            pooled = torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=1)
        output[rows] = pooled.numpy()
        start = stop
    return output, count
