"""The adapter of a specialist as files: small, without pickles, and the same on every machine."""

import json
import shutil
from pathlib import Path
from typing import Any

from moe2_pl.experts._files._adapters import BASE_KEY

__all__ = ["store_adapter", "stored_factors"]


def store_adapter(adapted: Any, rank: int, folder: Path, *, base: str, sha256: str | None) -> None:
    """Write an adapter as PEFT reads it.

    Args:
        adapted: a ``peft`` model.
        rank: to which its factors are brought, see :func:`stored_factors`.
        folder: made anew.
        base: what the base is called, without a path of this machine.
        sha256: of the base's weights, where known.
    """
    from safetensors.torch import save_file

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    metadata = {"format": "pt"} if sha256 is None else {"format": "pt", BASE_KEY: sha256}
    save_file(stored_factors(adapted, rank), folder / "adapter_model.safetensors", metadata)
    config = adapted.peft_config["default"]
    scale = config.lora_alpha // config.r
    config.base_model_name_or_path, config.inference_mode = base, True
    config.r, config.lora_alpha = rank, scale * rank
    config.save_pretrained(folder)
    settings = json.loads((folder / "adapter_config.json").read_text())
    settings["target_modules"] = sorted(settings["target_modules"])  # a set: its order is no one's choice
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def stored_factors(adapted: Any, rank: int) -> dict[str, Any]:
    """The adapter's factors as they are stored: in bfloat16, and of a lower rank where that is asked for.

    The lower rank keeps the largest singular values of each product B A, its best approximation of that rank; both
    factors get their square roots. The scale alpha / rank must stay what it was.

    Args:
        adapted: what :func:`train_adapter` returns.
        rank: at most that of the training.
    """
    import torch
    from peft import get_peft_model_state_dict

    factors = get_peft_model_state_dict(adapted, save_embedding_layers=False)
    state = {name: weight.detach().float().cpu() for name, weight in factors.items()}
    for name in [name for name in state if name.endswith("lora_A.weight")]:
        other = name.replace("lora_A", "lora_B")
        A, B = state[name], state[other]
        if rank < len(A):
            Q, R = torch.linalg.qr(B)
            P, T = torch.linalg.qr(A.T)
            U, S, V = torch.linalg.svd(R @ T.T)
            root = S[:rank].sqrt()
            state[name], state[other] = root[:, None] * (P @ V.T[:, :rank]).T, Q @ U[:, :rank] * root
    return {name: weight.to(torch.bfloat16).contiguous() for name, weight in state.items()}
