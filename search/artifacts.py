"""What a finished trial leaves for its reviewers: pictures, tables and a note; knows nothing of training."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import optuna
from optuna.artifacts import upload_artifact
from optuna.artifacts._protocol import ArtifactStore
from optuna_dashboard import save_note
from optuna_dashboard.artifact import get_artifact_path

from zoo.training.loop import Trainer
from zoo.training.pictures import confusion_picture, learning_curves

__all__ = ["upload_trial"]

# Hundreds of pixels: what a trial's note has room for in a window of 1,280.
_WIDTH = 9.0


def upload_trial(
    trial: optuna.Trial,
    trainer: Trainer,
    metrics: dict[str, Any],
    classes: tuple[str, ...],
    store: ArtifactStore,
) -> None:
    """Upload learning curves and confusion matrix (PNG), config (JSON) and per-class table (CSV), and note
    them.

    Args:
        metrics: of the validation faces, as `zoo.training.evaluate.measure` returns them.
    """
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        learning_curves([vars(result) for result in trainer.history], folder / "curves.png", width=_WIDTH)
        confusion_picture(metrics, classes, folder / "confusion.png", part="validation")
        described = {"config": trainer.config.to_json(), "recipe": trainer.recipe.to_json()}
        (folder / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        with (folder / "per_class.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("class", "precision", "recall", "f1", "support"))
            for name, figures in metrics["per_class"].items():
                writer.writerow((name, *(round(value, 4) for value in figures.values())))
        paths = {}
        for name in ("curves.png", "confusion.png", "config.json", "per_class.csv"):
            identity = upload_artifact(
                artifact_store=store, file_path=str(folder / name), study_or_trial=trial
            )
            paths[name] = get_artifact_path(trial, identity)
    low, high = metrics["accuracy_interval"]
    save_note(
        trial,
        f"**{metrics['accuracy']:.4f}** validation accuracy (95% interval {low:.4f}–{high:.4f}), "
        f"macro F1 {metrics['macro_f1']:.4f}, {trial.user_attrs['parameters']:,} parameters, "
        f"{trial.user_attrs['macs']:,} multiply–accumulates, {trainer.seconds:.0f} s.\n\n"
        f"![learning curves]({paths['curves.png']})\n\n![confusion matrix]({paths['confusion.png']})\n",
    )
