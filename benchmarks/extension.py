"""What it costs to add a model to a trained gate instead of training anew: python benchmarks/extension.py --splits 2.

For each model in turn, a gate is trained without it and then extended by it; its held-out score over all models
is set beside that of a gate which was trained with all of them.
"""

import argparse
import logging
import tempfile
import time
import warnings

import lightning as L
import numpy as np
import torch
from hydra.utils import instantiate
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint

from main_job import configuration, fit
from moe2_pl.gate import GatingModule, load_gate
from moe2_pl.outputs import ExpertOutputsDataModule
from routing import Floats, interval


def extend(config, data: ExpertOutputsDataModule, old: GatingModule, model: str) -> GatingModule:
    gate = GatingModule.extended(old, [model], instantiate(config.gate.optimizer))
    with tempfile.TemporaryDirectory() as folder:
        keep = ModelCheckpoint(folder, "gate", monitor="val/loss")
        stop = EarlyStopping("val/loss", patience=config.callbacks.early_stopping.patience)
        L.Trainer(
            max_epochs=config.trainer.max_epochs,
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            callbacks=[stop, keep],
        ).fit(gate, datamodule=data)
        return load_gate(keep.best_model_path).gate


def routed(gate: GatingModule, data: ExpertOutputsDataModule, brier: list[float], model: str) -> Floats:
    """Held-out score of each query's best model; notes the Brier score of ``model``."""
    test = data.split.test
    q = gate.predict(data.features(test))[:, gate.columns(data.outputs.model_id)]
    score = torch.from_numpy(data.outputs.score[test])
    column = data.outputs.model_id.index(model)
    brier.append(float(((q[:, column] - score[:, column]) ** 2).mean()))
    return score.gather(1, q.argmax(1, keepdim=True))[:, 0].double().numpy()


def main() -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--splits", type=int, default=2, help="how many; each also seeds the training")
    arguments = parser.parse_args()
    config = configuration()
    differences: dict[str, list[Floats]] = {}
    briers: dict[str, tuple[list[float], list[float]]] = {}
    seconds: list[float] = []
    for seed in range(arguments.splits):
        data = ExpertOutputsDataModule(encoder=config.encoder.name, split_seed=seed)
        whole = fit(config, data, seed)
        for model in data.outputs.model_id:
            others = [m for m in data.outputs.model_id if m != model]
            without = ExpertOutputsDataModule(encoder=config.encoder.name, split_seed=seed, experts=others)
            old = fit(config, without, seed)
            started = time.perf_counter()
            extended = extend(config, data, old, model)
            seconds.append(time.perf_counter() - started)
            anew, added = briers.setdefault(model, ([], []))
            differences.setdefault(model, []).append(
                routed(whole, data, anew, model) - routed(extended, data, added, model)
            )
        print(f"split {seed} done", flush=True)
    print("\n| model added | anew − extended: held-out score, 95 % | its Brier score anew | extended |")
    print("| --- | --- | --- | --- |")
    for model, difference in differences.items():
        low, high = interval(difference)
        mean = np.mean([d.mean() for d in difference])
        anew, added = (np.mean(values) for values in briers[model])
        print(f"| {model} | {mean:+.4f} ({low:+.4f} to {high:+.4f}) | {anew:.4f} | {added:.4f} |")
    every = [d.mean() for difference in differences.values() for d in difference]
    print(
        f"\nmean {np.mean(every):+.4f}, largest {np.max(every):+.4f}; extending takes {np.mean(seconds):.1f} s"
    )


if __name__ == "__main__":
    main()
