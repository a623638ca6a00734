"""Train the gate of an expert pool, plan its deployments and report. ``python train.py --help``."""

from pathlib import Path

from moe2_pl.cli import run, train

if __name__ == "__main__":
    run(Path(__file__).parent / "conf", "train", train)
