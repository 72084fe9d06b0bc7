"""What a finished trial leaves for its reviewers: pictures, tables and a note; knows nothing of training."""

from __future__ import annotations

import csv
import json
import tempfile
from pathlib import Path

import optuna
from optuna.artifacts import upload_artifact
from optuna.artifacts._protocol import ArtifactStore
from optuna_dashboard._note import get_note, note_ver_key, split_body
from optuna_dashboard.artifact import get_artifact_path

from search.storage import system_attribute, transaction
from zoo.training.confusion import confusion_picture
from zoo.training.pictures import learning_curves_in_frame

__all__ = ["upload_trial"]

# Hundreds of pixels: what a trial's note has room for in a window of 1,280.
_WIDTH = 9.0


def upload_trial(
    trial: optuna.Trial, classes: tuple[str, ...], store: ArtifactStore, reason: str = ""
) -> None:
    """Upload learning curves and confusion matrix (PNG), per-class table (CSV) and config (JSON), and note
    them.

    They show what the trial's attributes hold: without a `curve` there is no picture of one, without
    `metrics` no confusion matrix and no table.

    Args:
        classes: in the network's order.
        reason: why the trial is pruned, if it is.
    """
    attributes = trial.user_attrs
    curve, metrics = attributes.get("curve"), attributes.get("metrics")
    lines = [f"{attributes['parameters']:,} parameters, {attributes['macs']:,} multiply–accumulates"]
    if reason:
        lines.append(f"Pruned: {reason}")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)

        def upload(name: str) -> str:
            identity = upload_artifact(
                artifact_store=store, file_path=str(folder / name), study_or_trial=trial
            )
            return get_artifact_path(trial, identity)

        described = {"config": attributes["config"], "recipe": attributes["recipe"]}
        (folder / "config.json").write_text(json.dumps(described, indent=1) + "\n", encoding="utf-8")
        upload("config.json")
        if curve:
            epochs = attributes["recipe"]["epochs"]
            picture = folder / "curves.png"
            learning_curves_in_frame(curve, picture, epochs=epochs, classes=len(classes), width=_WIDTH)
            lines.append(f"![learning curves]({upload('curves.png')})")
        if curve and metrics:
            confusion_picture(metrics, classes, folder / "confusion.png", part="validation")
            lines.append(f"![confusion matrix]({upload('confusion.png')})")
            low, high = metrics["accuracy_interval"]
            lines.insert(
                0,
                f"**{metrics['accuracy']:.4f}** validation accuracy (95% interval {low:.4f}–{high:.4f}), "
                f"macro F1 {metrics['macro_f1']:.4f} after epoch {curve[-1]['epoch']}",
            )
            with (folder / "per_class.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow(("class", "precision", "recall", "f1", "support"))
                for name, figures in metrics["per_class"].items():
                    writer.writerow((name, *(round(value, 4) for value in figures.values())))
            upload("per_class.csv")
    _save_note(trial, "\n\n".join(lines) + "\n")


def _save_note(trial: optuna.Trial, note: str) -> None:
    """As optuna-dashboard's `save_note`, above what a person wrote while the trial was running.

    `save_note` reads the notes of all trials; here that is done only if the trial has one.
    """
    version = system_attribute(trial.study, note_ver_key(trial._trial_id)) or 0
    if version:
        note += f"\n{get_note(trial)}"
    attributes = {note_ver_key(trial._trial_id): version + 1, **split_body(note, trial._trial_id)}
    with transaction(trial.study):
        for name, value in attributes.items():
            trial.storage.set_study_system_attr(trial.study._study_id, name, value)
