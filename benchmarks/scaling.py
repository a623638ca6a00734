"""Training from outputs that lie on disk: python benchmarks/scaling.py [--models 64] [queries …].

For each number of queries, outputs of random scores are written to a temporary folder, and a process of its own loads
them and trains ``gate=mlp`` for one epoch. Own memory is what the process has allocated; pages of the mapped file,
which the system may drop at any time, are not counted.
"""

import argparse
import logging
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from main_job import configuration, fit
from moe2_pl.outputs import ExpertOutputs, ExpertOutputsDataModule

CATEGORIES = ("assistant", "tutor", "coder", "puzzles")


def write(folder: str, queries: int, models: int) -> None:
    rng = np.random.default_rng(0)
    category = rng.integers(0, len(CATEGORIES), queries)
    score = rng.random((queries, models), dtype=np.float32)
    embedding = rng.standard_normal((queries, 384), dtype=np.float32).astype(np.float16)
    # Half of each score is what the embedding's first numbers say, so that there is something to learn.
    score += 0.5 * np.sign(embedding[:, :models].astype(np.float32))
    ExpertOutputs(
        id=np.array([f"{i:08x}#0" for i in range(queries)]),
        score=score.clip(0, 1),
        category=category,
        prompt_tokens=np.full(queries, 100),
        experts=tuple(f"model-{j}" for j in range(models)),
        categories=CATEGORIES,
        features={"minilm": embedding},
    ).save(folder)


def own_memory_mb() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith("RssAnon"))


def train(folder: str) -> None:
    """One epoch; prints rows of training, seconds of loading and fitting, and anonymous memory."""
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    config = configuration("gate=mlp", "trainer.max_epochs=1")
    OmegaConf.resolve(config)
    before = own_memory_mb()
    peak, done = [before], threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            peak.append(own_memory_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.perf_counter()
    data = ExpertOutputsDataModule(folder, encoder="minilm")
    data.setup()
    loaded = time.perf_counter()
    loaded_mb = max(peak)
    fit(config, data, 0)
    done.set()
    watcher.join()
    print(
        f"| {len(data.outputs):,} × {len(data.outputs.experts)} | {loaded - started:.1f} | "
        f"{time.perf_counter() - loaded:.1f} | {before:.0f} | {loaded_mb - before:.0f} | {max(peak) - before:.0f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("queries", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--models", type=int, default=64)
    parser.add_argument("--train", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.train:
        train(arguments.train)
        return
    if arguments.write:
        write(arguments.write, arguments.queries[0], arguments.models)
        return
    print(
        "| queries × models | load, s | one epoch, s | own memory before, MB | loading adds | fitting adds |"
    )
    print("| --- | --- | --- | --- | --- | --- |", flush=True)
    for queries in arguments.queries:
        with tempfile.TemporaryDirectory() as folder:
            this = [sys.executable, __file__]
            subprocess.run(
                [*this, "--models", str(arguments.models), "--write", folder, str(queries)], check=True
            )
            subprocess.run([*this, "--train", folder], check=True)


if __name__ == "__main__":
    main()
