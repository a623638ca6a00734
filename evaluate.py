"""Plan deployments with a trained gate; nothing is retrained. ``python evaluate.py --help``."""

from pathlib import Path

from moe2_pl.cli import evaluate, run

if __name__ == "__main__":
    run(Path(__file__).parent / "conf", "evaluate", evaluate)
