"""The main job's figures, side by side in one run: python benchmarks/main_job.py [job|budgets|loop].

budgets  the 144-budget sweep: its time, and MoE² against the lookup at every budget
loop     Lightning's loop against a bare PyTorch loop that does the same steps
job      train.py and --help as whole processes: wall time and peak memory
"""

import functools
import logging
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import lightning as L
import numpy as np
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from moe2_pl.cli._inputs import configured_inputs
from moe2_pl.cli._schema import register_schema
from moe2_pl.gate import GatingModule, fit_gate
from moe2_pl.outputs import ExpertOutputsDataModule
from moe2_pl.planning import Inputs, results_of
from moe2_pl.planning._judge import Queries
from moe2_pl.planning._load import Pricing
from moe2_pl.pool import ExpertPool
from moe2_pl.selection import FacilityLocation, sweep

ROOT = Path(__file__).parents[1]
SEEDS = range(5)


def configuration(*overrides: str) -> DictConfig:
    register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return compose("train", ["paths.output_dir=.", *overrides])


def fit(config: DictConfig, data: ExpertOutputsDataModule, seed: int) -> GatingModule:
    """Train as train.py does."""
    return fit_gate(
        data,
        network=OmegaConf.to_container(config.gate.network),
        objective=OmegaConf.to_container(config.objective),
        fitted=OmegaConf.to_container(config.gate).get("fitted"),
        recipe={
            "optimizer": OmegaConf.to_container(config.gate.optimizer),
            "max_epochs": config.trainer.max_epochs,
            "patience": config.callbacks.early_stopping.patience,
        },
        seed=seed,
    )


def setting_of(config: DictConfig, seed: int) -> Inputs:
    settings = OmegaConf.to_container(config, resolve=True)
    pool = ExpertPool.from_mapping(settings["expert_pool"])
    data = ExpertOutputsDataModule(encoder=config.encoder.name, split_seed=seed, experts=pool.model_ids)
    return configured_inputs(settings, pool, data)


def held_out(setting: Inputs) -> Queries:
    _, validation, test = setting.data.split
    score = setting.pool.expand(setting.outputs.score[test])
    category = setting.outputs.category
    unpriced = Pricing(setting.planner, setting.costs.rows(validation), category[validation], None)
    return Queries(score, category[test], setting.costs.rows(test), setting.planner, unpriced)


def budgets() -> None:
    config = configuration()
    print("144 budgets, per split: sweep time, feasible budgets, MoE² − lookup (each plans its own subset)")
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        setting = setting_of(config, seed)
        gate = fit(config, setting.data, seed)
        _, validation, test = setting.data.split
        q = [
            setting.pool.expand(gate.predict(setting.data.features(rows)).numpy())
            for rows in (validation, test)
        ]
        problem = setting.planner.problem(FacilityLocation(q[0]), setting.outputs.category[validation])
        started = time.perf_counter()
        plans = sweep(problem, setting.grid)
        seconds = time.perf_counter() - started
        lookup = setting.baselines["lookup"]
        routed, ahead, below = held_out(setting), [], 0
        draws = rng.integers(0, len(test), (1000, len(test)))
        for mine, its in zip(plans, sweep(lookup.problem, setting.grid), strict=True):
            if not mine.experts:
                continue
            difference = routed.realise(q[1], mine).score - routed.realise(lookup.rank, its).score
            ahead.append(float(difference.mean()))
            if ahead[-1] < 0:
                below += bool(np.quantile(difference[draws].mean(1), 0.975) < 0)
        behind = sum(a < 0 for a in ahead)
        print(
            f"  split {seed}: {seconds:.2f} s, {len(ahead)} feasible: {np.mean(ahead):+.4f}, least {min(ahead):+.4f}"
        )
        print(f"    {behind} below zero, {below} of them beyond a paired bootstrap's 95 %")
    results_of(
        setting,
        gate,
        OmegaConf.to_container(config.solver),
        tick=lambda line: print(f"  whole evaluation: {line}"),
    )


def loop() -> None:
    """The same gate, batches, optimizer and validation, with and without Lightning; ratios of paired runs."""
    epochs = 10
    data = ExpertOutputsDataModule()
    make = functools.partial(torch.optim.AdamW, lr=1e-3, weight_decay=0.05)

    def new() -> GatingModule:
        L.seed_everything(0, verbose=False)
        return GatingModule(data.spec, data.outputs.model_id, optimizer=make)

    def bare() -> None:
        gate = new()
        rows = data.split.train
        gate.fit_statistics(lambda: data.parts(rows))
        optimizer = make(gate.parameters())
        for _ in range(epochs):
            gate.train()
            for batch in data.train_dataloader():
                optimizer.zero_grad()
                gate.objective.loss(gate(batch["features"]), batch["score"]).backward()
                optimizer.step()
            gate.eval()
            with torch.inference_mode():
                for batch in data.val_dataloader():
                    logits = gate(batch["features"])
                    gate.objective.loss(logits, batch["score"]).item()
                    batch["score"].gather(
                        1, torch.sigmoid(logits).mean(0).argmax(1, keepdim=True)
                    ).mean().item()

    def lightning() -> None:
        trainer = L.Trainer(
            max_epochs=epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            enable_checkpointing=False,
            accelerator="cpu",
            num_sanity_val_steps=0,
        )
        trainer.fit(new(), datamodule=data)

    def seconds(run: functools.partial[None]) -> float:
        started = time.perf_counter()
        run()
        return time.perf_counter() - started

    bare()
    lightning()
    pairs = [(seconds(functools.partial(lightning)), seconds(functools.partial(bare))) for _ in range(7)]
    ratios = [a / b for a, b in pairs]
    with_lightning, without = np.median(pairs, axis=0)
    print(
        f"{epochs} epochs: Lightning {with_lightning:.2f} s, bare {without:.2f} s; "
        f"ratio {np.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def job() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, arguments in {
            "train.py expert_pool=jetson_mix": [
                "train.py",
                "expert_pool=jetson_mix",
                f"hydra.run.dir={folder}/run",
            ],
            "evaluate.py, one budget": [
                "evaluate.py",
                f"checkpoint={folder}/run/gate.ckpt",
                "budget.energy_j=2000",
                "budget.latency_s=25",
                f"hydra.run.dir={folder}/evaluate",
            ],
            "train.py --help": ["train.py", "--help"],
        }.items():
            started = time.perf_counter()
            subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
            wall = time.perf_counter() - started
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6
            print(
                f"{name:34s} {wall:5.1f} s, peak of any process so far {peak:.2f} GB, {os.cpu_count()} cores"
            )


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parts = {"job": job, "budgets": budgets, "loop": loop}
    for name in sys.argv[1:]:
        if name not in parts:
            raise SystemExit(f"no part '{name}'; there are {', '.join(parts)}")
    # job first, whatever the order asked for: the peak counted for a child starts at this process's own.
    for name in (name for name in parts if name in (sys.argv[1:] or parts)):
        parts[name]()


if __name__ == "__main__":
    main()
