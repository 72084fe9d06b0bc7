"""Studies as `search.run` leaves them, made from a formula instead of training, in milliseconds a trial."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState, create_trial

from search.settings import StudySettings
from zoo.data.emotions import EMOTIONS

__all__ = ["settings", "synthetic_study", "synthetic_trial"]

FACES = 3589
_START = datetime.datetime(2026, 1, 5, 9, 0)
_CONFIG = {"family": "parametric", "widths": [16, 32, 64]}
_DISTRIBUTIONS: dict[str, BaseDistribution] = {
    "stages": IntDistribution(3, 5),
    "stage1_width": CategoricalDistribution((8, 16, 32, 64)),
    "stage4_width": CategoricalDistribution((32, 64, 128)),
    "inceptions": IntDistribution(0, 4),
    "norm": CategoricalDistribution(("batch", "none")),
    "residual": CategoricalDistribution((False, True)),
    "head_dropout": FloatDistribution(0.0, 0.7, step=0.1),
    "weight_decay": FloatDistribution(1e-6, 1e-2, log=True),
    "optimizer": CategoricalDistribution(("sgd", "adam")),
    "sgd_learning_rate": FloatDistribution(0.01, 0.5, log=True),
}


def settings(**changes: Any) -> StudySettings:
    """Settings of a study on data of a made-up name: 12 epochs, at most 60 M multiply–accumulates."""
    values: dict[str, Any] = {
        "data": "faces.csv",
        "fingerprint": "0123456789abcdef",
        "drawn": False,
        "classes": EMOTIONS,
        "split_kind": "official",
        "split_seed": 0,
        "epochs": 12,
        "max_macs": 60_000_000,
        "max_parameters": None,
    }
    return StudySettings(**{**values, **changes})


def synthetic_trial(number: int, *, seed: int = 0, kind: str | None = None) -> FrozenTrial:
    """One trial in which batch norm adds 15 points, inceptions take 2 each, and little else matters.

    Args:
        kind: `complete`, `pruned`, `over`, `duplicate`, `failed`, `died`, `running` or `enqueued`; drawn at
            random in about the shares of a real study if None.
    """
    random = np.random.default_rng((seed, number))
    kind = kind or str(
        random.choice(["complete", "pruned", "over", "duplicate", "failed"], p=[0.14, 0.5, 0.3, 0.02, 0.04])
    )
    params = _params(random)
    macs = int(random.uniform(2e6, 60e6)) if kind != "over" else int(random.uniform(61e6, 500e6))
    accuracy = 0.45 + 0.15 * (params["norm"] == "batch") - 0.02 * params["inceptions"]
    accuracy += 0.02 * float(np.log10(macs / 1e7)) + random.normal(0, 0.01)
    attributes: dict[str, Any] = {
        "worker": {"host": "host", "pid": 100 + number % 2, "started": 1.0},
        "config": {**_CONFIG, "inceptions": params["inceptions"]},
        "recipe": {"epochs": 12},
        "parameters": macs // 40,
        "macs": macs,
        "proposal": f"{number:016x}",
    }
    constraints = {"macs over the limit": macs / 60e6 - 1}
    if kind == "over":
        attributes["reason"] = f"over the limit: macs {macs:,}"
        return _trial(number, TrialState.PRUNED, params, attributes, constraints, {}, 2.0)
    if kind == "duplicate":
        attributes |= {"reason": "the same as trial 0", "duplicate_of": 0}
        return _trial(number, TrialState.PRUNED, params, attributes, constraints, {}, 0.1)
    if kind == "enqueued":
        attributes["network"] = "custom_cnn"
        params = {name: params[name] for name in ("optimizer", "weight_decay")}
    epochs = {"pruned": int(random.choice([2, 6], p=[0.7, 0.3])), "failed": 3, "died": 3, "running": 5}.get(
        kind, 12
    )
    curve = {
        epoch: float(accuracy * (1 - 0.6 * np.exp(-epoch / 3)) + random.normal(0, 0.004))
        for epoch in range(1, epochs + 1)
    }
    last = curve[epochs]
    attributes["first_epoch"] = 1
    if kind not in ("running", "died"):
        attributes |= {"macro_f1": round(last - 0.03, 4), "seconds": 30.0 * epochs}
    if kind in ("complete", "enqueued"):
        attributes["metrics"] = _metrics(last)
        return _trial(number, TrialState.COMPLETE, params, attributes, constraints, curve, 30.0 * epochs)
    if kind == "pruned":
        attributes |= {"reason": f"accuracy {last:.3f} after epoch {epochs}", "metrics": _metrics(last)}
    if kind == "failed":
        attributes["reason"] = "interrupted"
    states = {"pruned": TrialState.PRUNED, "running": TrialState.RUNNING}
    state = states.get(kind, TrialState.FAIL)
    return _trial(number, state, params, attributes, constraints, curve, 30.0 * epochs)


def synthetic_study(
    trials: int = 60, *, name: str = "faces", storage: Any = None, seed: int = 0, kinds: tuple[str, ...] = ()
) -> optuna.Study:
    """A study of synthetic trials that begins with an enqueued one.

    Args:
        kinds: of the first trials, see `synthetic_trial`; the rest are drawn at random.
    """
    study = optuna.create_study(study_name=name, storage=storage, direction="maximize")
    study.set_user_attr("settings", settings().to_json())
    study.set_user_attr(
        "split", {"kind": "official", "seed": 0, "names": ["Training", "PublicTest", "PrivateTest"]}
    )
    asked = kinds or ("enqueued",)
    study.add_trials(
        [
            synthetic_trial(number, seed=seed, kind=asked[number] if number < len(asked) else None)
            for number in range(trials)
        ]
    )
    return study


def _params(random: np.random.Generator) -> dict[str, Any]:
    stages = int(random.integers(3, 6))
    params: dict[str, Any] = {"stages": stages, "stage1_width": int(random.choice([8, 16, 32, 64]))}
    if stages > 3:
        params["stage4_width"] = int(random.choice([32, 64, 128]))
    params["inceptions"] = int(random.integers(0, 5))
    params["norm"] = str(random.choice(["batch", "none"]))
    params["residual"] = bool(random.integers(0, 2))
    params["head_dropout"] = float(random.integers(0, 8)) / 10
    params["weight_decay"] = float(10 ** random.uniform(-6, -2))
    params["optimizer"] = str(random.choice(["sgd", "adam"]))
    if params["optimizer"] == "sgd":
        params["sgd_learning_rate"] = float(10 ** random.uniform(-2, -0.31))
    return params


def _trial(
    number: int,
    state: TrialState,
    params: dict[str, Any],
    attributes: dict[str, Any],
    constraints: dict[str, float],
    curve: dict[int, float],
    seconds: float,
) -> FrozenTrial:
    trial = create_trial(
        state=state,
        value=curve[max(curve)] if state == TrialState.COMPLETE else None,
        params=params,
        distributions={name: _DISTRIBUTIONS[name] for name in params},
        user_attrs=attributes,
        intermediate_values=curve,
        constraints=constraints,
    )
    # Two workers, each busy for seven minutes a trial at most.
    trial.datetime_start = _START + datetime.timedelta(minutes=7 * (number // 2), seconds=number % 2)
    if state.is_finished():
        trial.datetime_complete = trial.datetime_start + datetime.timedelta(seconds=seconds)
    return trial


def _metrics(accuracy: float) -> dict[str, Any]:
    spread = 1.96 * float(np.sqrt(accuracy * (1 - accuracy) / FACES))
    per_class = {
        name: {"precision": 0.6, "recall": 0.4 + 0.05 * place, "f1": 0.45 + 0.05 * place, "support": 500}
        for place, name in enumerate(EMOTIONS)
    }
    confusion = [[10 + 5 * (row == column) for column in range(7)] for row in range(7)]
    return {
        "faces": FACES,
        "accuracy": accuracy,
        "accuracy_interval": [accuracy - spread, accuracy + spread],
        "balanced_accuracy": accuracy - 0.02,
        "macro_f1": accuracy - 0.03,
        "per_class": per_class,
        "confusion": confusion,
    }
