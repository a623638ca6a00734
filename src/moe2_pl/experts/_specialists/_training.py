"""Training a LoRA specialist of a language model on generated skills: the loss, the steps, the checkpoints.

Batch t of a recipe is always the same questions, so that a run that was interrupted goes on as if it had not been.
"""

import json
import math
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from moe2_pl.errors import CheckpointError, ConfigError
from moe2_pl.experts._files._models import first_line
from moe2_pl.experts._in_process._tokens import TextEncoder
from moe2_pl.questions import SKILLS, Choices, Question, Task, skill_questions

__all__ = ["MODULES", "Recipe", "train_adapter"]

MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
_WARM_UP = 10
_CHECKPOINT = "checkpoint"


@dataclass(frozen=True)
class Recipe:
    """How a specialist is made; together with the base model it names the adapter.

    Args:
        skills: what it is trained on, in turn.
        steps: updates.
        batch: questions of an update.
        rank: of the two factors of every adapted matrix, in training.
        store_rank: to which they are brought afterwards, each product to its best approximation of
            that rank; None for ``rank``.
        modules: the adapted matrices of each layer.
        learning_rate: after ten steps of warming up; it falls to zero along a cosine.
        seed: of the questions and of the first factors.
        task: how questions are put, in training as in the pool.

    Raises:
        ConfigError: no skills, or a figure that is not positive.
    """

    skills: tuple[str, ...]
    steps: int = 250
    batch: int = 24
    rank: int = 8
    store_rank: int | None = None
    modules: tuple[str, ...] = MODULES
    learning_rate: float = 1e-3
    seed: int = 0
    task: Task = field(default_factory=lambda: Task("skills"))

    def __post_init__(self) -> None:
        if not self.skills:
            raise ConfigError(f"no skills to train on; give some of {', '.join(SKILLS)}")
        for key in ("steps", "batch", "rank", "learning_rate"):
            if not getattr(self, key) > 0:
                raise ConfigError(f"{key} is {getattr(self, key)}; it must be > 0")
        if not 0 < self.kept_rank <= self.rank:
            raise ConfigError(
                f"store_rank is {self.store_rank}; it must lie in 1…{self.rank}, the rank in training"
            )

    @property
    def kept_rank(self) -> int:
        """Rank of the adapter that is stored."""
        return self.rank if self.store_rank is None else self.store_rank

    def questions(self) -> list[Question]:
        """Every question of the training, in order."""
        each = math.ceil(self.steps * self.batch / len(self.skills))
        drawn = skill_questions(
            dict.fromkeys(self.skills, each),
            seed=self.seed,
            category="specialist",
            part="train",
            task=self.task,
        )
        return drawn[: self.steps * self.batch]

    def rate(self, step: int) -> float:
        """Learning rate of update ``step``, counted from 0."""
        warm = min(1.0, (step + 1) / _WARM_UP)
        return self.learning_rate * warm * (1 + math.cos(math.pi * step / self.steps)) / 2

    def to_mapping(self) -> dict[str, Any]:
        """Plain values, for the file beside the adapter."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    def training(self) -> dict[str, Any]:
        """What the training alone depends on."""
        return {key: value for key, value in self.to_mapping().items() if key != "store_rank"}


def train_adapter(
    model: Any,
    tokenizer: Any,
    recipe: Recipe,
    folder: Path,
    *,
    checkpoint_every: int = 25,
    told: Callable[[int, float], None] = lambda step, loss: None,
) -> Any:
    """Train an adapter of ``model`` by the recipe, or go on where ``folder`` has a checkpoint of the same recipe.

    The loss is the mean over a batch of −log p of the right option's tokens after the question.

    Args:
        model: a causal language model of transformers; its weights stay as they are.
        tokenizer: of that model.
        recipe: skills, steps and figures.
        folder: gets ``checkpoint/`` every so many steps, each written whole or not at all.
        checkpoint_every: steps between checkpoints.
        told: is called with the step and the batch's loss after every update.

    Returns:
        The model with its adapter, a ``peft`` model in the mode of evaluation.

    Raises:
        CheckpointError: a checkpoint of another recipe.
        ConfigError: ``peft`` is not installed, or the model has none of the modules.
    """
    try:
        import torch
        from peft import LoraConfig, get_peft_model
    except ImportError as error:  # pragma: no cover
        raise ConfigError(
            f"specialists need torch and peft: pip install 'moe2-pl[experts]' ({error})"
        ) from error
    torch.manual_seed(recipe.seed)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=2 * recipe.rank, target_modules=list(recipe.modules), task_type="CAUSAL_LM"
    )
    try:
        adapted: Any = get_peft_model(model, config, autocast_adapter_dtype=True)
    except ValueError as error:
        raise ConfigError(f"modules {', '.join(recipe.modules)}: {first_line(error)}") from error
    weights = [p for p in adapted.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=0.0)
    questions, encoder = recipe.questions(), TextEncoder(tokenizer, "the base")
    start = _restored(adapted, optimiser, recipe, folder)
    adapted.train()
    for step in range(start, recipe.steps):
        for group in optimiser.param_groups:
            group["lr"] = recipe.rate(step)
        batch = questions[step * recipe.batch : (step + 1) * recipe.batch]
        loss = _backward(adapted, encoder, recipe.task, batch)
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad()
        told(step + 1, loss)
        if (step + 1) % checkpoint_every == 0 or step + 1 == recipe.steps:
            _keep(adapted, optimiser, recipe, step + 1, folder)
    return adapted.eval()


def _backward(model: Any, encoder: TextEncoder, task: Task, batch: Sequence[Question]) -> float:
    """Gradients of the batch's mean loss, question by question of similar length; the loss."""
    import torch

    requests = []
    for question in batch:
        request = task.request(question)
        if not isinstance(request, Choices):
            raise ConfigError(f"task '{task.name}' has answers written; specialists learn from options")
        requests.append(replace(request, options=(request.options[question.label],)))
    texts = [(context, right) for context, (right,) in encoder.choices(requests)]
    texts.sort(key=lambda text: len(text[0]) + len(text[1]))
    total = 0.0
    half = math.ceil(len(texts) / 2)
    device = next(model.parameters()).device
    for part in (texts[:half], texts[half:]):
        if not part:
            continue
        with torch.autocast(device.type, dtype=torch.bfloat16):
            loss = _loss(model, part, device) * (len(part) / len(texts))
        loss.backward()
        total += float(loss.detach())
    return total


def _loss(model: Any, texts: Sequence[tuple[list[int], list[int]]], device: Any) -> Any:
    """Mean over the texts of −Σ log p of the tokens after the context; the vocabulary is weighed only there."""
    import torch

    longest = max(len(context) + len(right) for context, right in texts)
    ids = torch.zeros(len(texts), longest, dtype=torch.long)
    mask = torch.zeros_like(ids)
    rows: list[int] = []
    columns: list[int] = []
    for k, (context, right) in enumerate(texts):
        end = len(context) + len(right)
        ids[k, :end] = torch.tensor(context + right)
        mask[k, :end] = 1
        rows += [k] * len(right)
        columns += range(len(context), end)
    at, column = torch.tensor(rows), torch.tensor(columns)
    base = model.get_base_model()
    hidden = base.model(input_ids=ids.to(device), attention_mask=mask.to(device)).last_hidden_state
    logits = base.lm_head(hidden[at, column - 1])
    targets = ids[at, column].to(device)
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum") / len(texts)


def _keep(model: Any, optimiser: Any, recipe: Recipe, step: int, folder: Path) -> None:
    """Write the checkpoint beside the last one, then put it in its place."""
    import torch
    from peft import get_peft_model_state_dict

    partial = folder / f"{_CHECKPOINT}.part"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    state = {
        "adapter": get_peft_model_state_dict(model, save_embedding_layers=False),
        "optimiser": optimiser.state_dict(),
        "step": step,
    }
    torch.save(state, partial / "state.pt")
    (partial / "recipe.json").write_text(json.dumps(recipe.training(), indent=1) + "\n")
    shutil.rmtree(folder / _CHECKPOINT, ignore_errors=True)
    partial.rename(folder / _CHECKPOINT)


def _restored(model: Any, optimiser: Any, recipe: Recipe, folder: Path) -> int:
    """Take up the checkpoint where there is one; the step that it was written after."""
    import torch
    from peft import set_peft_model_state_dict

    kept = folder / _CHECKPOINT
    if not kept.is_dir():
        return 0
    before = json.loads((kept / "recipe.json").read_text())
    now = recipe.training()
    if before != now:
        differ = ", ".join(
            f"{key} {before.get(key)} → {now[key]}" for key in now if before.get(key) != now[key]
        )
        raise CheckpointError(f"{kept} is of another recipe ({differ}); finish that one or remove the folder")
    state = torch.load(kept / "state.pt", weights_only=True)
    set_peft_model_state_dict(model, state["adapter"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"])
