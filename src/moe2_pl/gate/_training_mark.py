"""What a checkpoint says of the training that wrote it: whether it came to its end, or was interrupted or killed."""

from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, ModelCheckpoint

__all__ = ["TrainingMark", "unfinished"]

_KEY = "training"


class TrainingMark(Callback):
    """Marks checkpoints 'unfinished' when saved and 'finished' when training ends.

    So a killed run leaves a correct mark. Early stopping and limits of epochs, steps or time are ends like others.
    """

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the mark, with the epoch that the checkpoint is of, counted from 1."""
        checkpoint[_KEY] = {
            "ended": False,
            "epoch": trainer.current_epoch + 1,
            "max_epochs": trainer.max_epochs,
        }

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Replace the mark of what the callbacks have kept; Lightning does not come here after an interrupt."""
        if not trainer.is_global_zero:
            return
        kept = {
            path
            for callback in trainer.checkpoint_callbacks
            if isinstance(callback, ModelCheckpoint)
            for path in (*callback.best_k_models, callback.best_model_path, callback.last_model_path)
        }
        for path in map(Path, kept):
            if path.is_file():
                _mark_ended(path)


def _mark_ended(path: Path) -> None:
    """Rewrite a checkpoint beside itself and rename it into place: at every moment there is a whole one."""
    content = torch.load(path, map_location="cpu", weights_only=True)
    if _KEY not in content:  # of ModelCheckpoint(save_weights_only=True), for which no callback is asked
        return
    content[_KEY]["ended"] = True
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        part = Path(file.name)
        try:
            torch.save(content, file)
            file.close()
            part.chmod(path.stat().st_mode & 0o777)
            part.replace(path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def unfinished(checkpoint: dict[str, Any]) -> str:
    """What must be said of a checkpoint whose training had not ended; empty for all others and where there is no mark.

    Args:
        checkpoint: the content of the file.
    """
    mark = checkpoint.get(_KEY)
    if mark is None or mark["ended"]:
        return ""
    most = mark["max_epochs"]
    of = f" of at most {most}" if most is not None and most >= 0 else ""
    return f"The gate's training did not come to its end: its checkpoint is of epoch {mark['epoch']}{of}."
