"""Small language models with random weights, in folders as real ones are: quick to make, to load and to run."""

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def tokenizer(chat_template: str | None = CHAT, begins: bool = False) -> PreTrainedTokenizerFast:
    """One token for each byte; ``<s>`` may begin a text by itself, as Gemma's tokens do, and ``</s>`` ends one."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: k for k, symbol in enumerate(["<s>", "</s>", *alphabet])}
    bytes_ = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_.decoder = decoders.ByteLevel()
    if begins:
        bytes_.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    found = PreTrainedTokenizerFast(tokenizer_object=bytes_, bos_token="<s>", eos_token="</s>")
    found.chat_template = chat_template
    return found


def llama(seed: int = 0, **settings: Any) -> LlamaForCausalLM:
    """Two layers; its weights are large, so that every token before matters."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        **{
            "vocab_size": 258,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "initializer_range": 0.4,
            "bos_token_id": 0,
            "eos_token_id": 1,
            **settings,
        }
    )
    return LlamaForCausalLM(config).eval()


def save(
    folder: Path, seed: int = 0, chat_template: str | None = CHAT, begins: bool = False, **settings: Any
) -> Path:
    """A folder with such a model and its tokenizer."""
    llama(seed, **settings).save_pretrained(folder)
    tokenizer(chat_template, begins).save_pretrained(folder)
    return folder


def save_adapter(
    folder: Path, seed: int = 0, rank: int = 4, targets: tuple[str, ...] = ("q_proj", "down_proj")
) -> Path:
    """A folder with a LoRA adapter of such a model that changes what it says."""
    from peft import LoraConfig, get_peft_model

    base = llama()
    torch.manual_seed(100 + seed)
    config = LoraConfig(
        r=rank,
        lora_alpha=4 * rank,
        target_modules=list(targets),
        task_type="CAUSAL_LM",
        init_lora_weights=False,
    )
    get_peft_model(base, config).save_pretrained(folder)
    return folder
