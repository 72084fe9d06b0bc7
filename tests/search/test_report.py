"""Findings, pictures and reports of synthetic studies of any size."""

from __future__ import annotations

import dataclasses
import io
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.artifacts import ArtifactMeta
from optuna.storages import InMemoryStorage
from optuna_dashboard import get_note, save_note
from rich.console import Console

from search.analysis import (
    SHUFFLES,
    Basis,
    basis_of,
    effects,
    importance_by_chance,
    importances,
    luck,
    pareto_front,
    rank_correlations,
    sampled,
    savings,
)
from search.document import _effect_rows, write_report
from search.export import top_trials
from search.figures import FIGURES
from search.findings import duration, findings
from search.page import commands, data_options, next_commands, save_page, study_note
from search.pictures import PICTURES
from search.report import main, print_summary, write_pictures
from search.storage import Places, StudyError
from search.table import StudyTable, words_of
from search.views import hours_worked, lanes, survivors, thin
from tests.search.synthetic import settings, synthetic_study, synthetic_trial

MIXED = ("enqueued", "complete", "complete", "complete", "complete", "pruned", "over", "duplicate", "failed")


@pytest.fixture(scope="module")
def table() -> StudyTable:
    return StudyTable.of(synthetic_study(300))


def test_outcomes_tell_trials_apart() -> None:
    table = StudyTable.of(synthetic_study(10, kinds=(*MIXED, "running")))
    told = ["complete"] * 5 + ["pruned", "over a limit", "duplicate", "failed", "running"]
    assert list(table.rows.outcome) == told
    assert list(table.complete.index) == [0, 1, 2, 3, 4]
    assert list(table.learned.index) == [0, 1, 2, 3, 4, 5]


def test_basis_is_the_end_when_enough_trials_reach_it_and_else_the_first_rung(table: StudyTable) -> None:
    basis = basis_of(table)
    assert basis.epoch == 2
    assert len(basis.accuracy) == len(table.learned) > 3 * len(table.complete)
    assert basis_of(StudyTable.of(synthetic_study(9, kinds=MIXED))).epoch is None


def test_importance_and_effects_find_what_the_formula_holds(table: StudyTable) -> None:
    basis = basis_of(table)
    shares = importances(table, basis)
    assert set(list(shares)[:2]) == {"norm", "inceptions"}
    assert sum(shares.values()) == pytest.approx(1)
    by_name = {effect.parameter: effect for effect in effects(table, basis)}
    assert list(by_name["norm"].medians) == ["batch", "none"]
    assert by_name["norm"].p < 0.001
    inceptions = by_name["inceptions"].correlation
    assert inceptions is not None and inceptions < -0.2
    assert by_name["residual"].p > 0.05


def test_the_largest_importance_is_weighed_against_chance(table: StudyTable) -> None:
    assert importance_by_chance(table, basis_of(table)) < 0.05
    noise = _noise()
    chance = importance_by_chance(noise, basis_of(noise))
    assert 0.05 <= chance == importance_by_chance(noise, basis_of(noise)) <= 1
    few = StudyTable.of(synthetic_study(9, kinds=MIXED))
    assert importance_by_chance(few, basis_of(few)) == 1


def _noise() -> StudyTable:
    """Of 30 complete trials, the first a starting point, with accuracies of which no parameter knows."""
    table = StudyTable.of(synthetic_study(30, kinds=("enqueued", *("complete",) * 29)))
    random = np.random.default_rng(5)
    return dataclasses.replace(table, rows=table.rows.assign(accuracy=random.uniform(0.4, 0.6, 30)))


def test_importances_tell_how_many_sampled_trials_they_rest_on(
    table: StudyTable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(sampled(table, basis_of(table)).accuracy)
    assert count == len(table.learned) - 1
    titles = []
    figure = FIGURES["importance"](table)
    assert figure is not None
    titles.append(figure.layout.title.text)
    monkeypatch.setattr(
        "search.pictures.save_figure", lambda drawn, path: titles.append(drawn.axes[0].get_title("left"))
    )
    assert PICTURES["importance"](table, tmp_path / "importance.png")
    titles += [sentence for sentence in findings(table) if "Most important" in sentence]
    assert len(titles) == 3 and all(f"after epoch 2 ({count} sampled trials)" in title for title in titles)


def test_effect_of_a_number_compares_its_ends_even_if_most_trials_have_one_value(table: StudyTable) -> None:
    params = table.params.copy()
    accuracy = sampled(table, Basis(None, table.complete.accuracy)).accuracy
    params.loc[accuracy.index, "head_dropout"] = 0.0
    params.loc[accuracy.nlargest(10).index, "head_dropout"] = 0.5
    effect = {
        e.parameter: e for e in effects(dataclasses.replace(table, params=params), Basis(None, accuracy))
    }
    medians = effect["head_dropout"].medians
    assert list(medians) == ["at most 0", "at least 0.5"]
    assert medians["at least 0.5"] == pytest.approx(accuracy.nlargest(10).median())


def test_effects_name_values_that_were_sampled(table: StudyTable) -> None:
    params = table.params.copy()
    accuracy = sampled(table, Basis(None, table.complete.accuracy)).accuracy
    widths = np.array([32, 64, 512, 1024])
    params.loc[accuracy.index, "head_dropout"] = widths[np.arange(len(accuracy)) % 4]
    (effect,) = [
        e
        for e in effects(dataclasses.replace(table, params=params), Basis(None, accuracy))
        if e.parameter == "head_dropout"
    ]
    assert list(effect.medians) == ["at most 64", "at least 512"]


def test_starting_points_are_no_evidence_of_an_effect() -> None:
    study = synthetic_study(40, kinds=(*("enqueued",) * 12, *("complete",) * 28))
    table = StudyTable.of(study)
    # As if the starting points had been the only bad ones, all with one optimiser.
    began = table.rows.index < 12
    params = table.params.assign(optimizer=np.where(began, "sgd", table.params.optimizer))
    random = np.random.default_rng(0)
    accuracy = np.where(began, 0.2, random.uniform(0.5, 0.6, 40))
    table = dataclasses.replace(table, params=params, rows=table.rows.assign(accuracy=accuracy))
    (effect,) = (e for e in effects(table, basis_of(table)) if e.parameter == "optimizer")
    assert effect.trials == 28 and effect.p > 0.05 and min(effect.medians.values()) > 0.5


def test_pareto_front_has_no_trial_that_another_beats(table: StudyTable) -> None:
    front = table.complete.loc[pareto_front(table)]
    assert front.macs.is_monotonic_increasing and front.accuracy.is_monotonic_increasing
    for _, row in table.complete.iterrows():
        assert ((front.macs <= row.macs) & (front.accuracy >= row.accuracy)).any()


def test_savings_count_epochs_not_trained() -> None:
    table = StudyTable.of(synthetic_study(9, kinds=MIXED))
    saved = savings(table)
    stopped_after = int(table.rows.epochs[5])
    assert (saved.started, saved.stopped, saved.possible) == (6, 1, 72)
    assert saved.trained == 60 + stopped_after
    assert saved.seconds == pytest.approx(30 * (12 - stopped_after))  # thirty seconds an epoch
    assert saved.share == pytest.approx((12 - stopped_after) / 72)
    assert list(survivors(table).sum(axis=1)) == [6] * stopped_after + [5] * (12 - stopped_after)


def test_rank_correlation_ends_at_one(table: StudyTable) -> None:
    ranks = rank_correlations(table)
    assert list(ranks.index) == list(range(1, 13))
    assert ranks[12] == pytest.approx(1)
    assert rank_correlations(StudyTable.of(synthetic_study(1))).empty


def test_luck_grows_with_trials_and_shrinks_with_faces() -> None:
    assert luck(1, 3589, 0.6) == 0
    assert luck(200, 3589, 0.6) > luck(20, 3589, 0.6) > luck(20, 7178, 0.6) > 0
    # The expected largest of ten standard normal values is 1.539 (Harter, 1961).
    assert luck(10, 2400, 0.6) == pytest.approx(1.539 * 0.01, rel=0.01)


def test_lanes_part_trials_that_run_at_once(table: StudyTable) -> None:
    rows = table.rows.dropna(subset=["started", "ended"])
    lane = lanes(rows)
    assert set(lane) == {0, 1}
    for _, part in rows.groupby(lane):
        ordered = part.sort_values("started")
        assert (ordered.started.iloc[1:].to_numpy() >= ordered.ended.iloc[:-1].to_numpy()).all()


def test_hours_leave_out_pauses_but_not_the_time_between_trials() -> None:
    minutes = {4: (0, 30), 1: (10, 20), 2: (35, 45), 9: (105, 110), 3: (106, 120)}
    began = pd.Timestamp("2026-01-01")
    rows = pd.DataFrame(
        {
            "started": {n: began + pd.Timedelta(minutes=a) for n, (a, _) in minutes.items()},
            "ended": {n: began + pd.Timedelta(minutes=b) for n, (_, b) in minutes.items()},
        }
    )
    hours, pauses = hours_worked(rows)
    assert (hours * 60).round(6).to_dict() == {4: 0, 1: 10, 2: 35, 9: 45, 3: 46}
    assert pauses == pytest.approx([45 / 60])


def test_thin_keeps_the_best_and_the_order(table: StudyTable) -> None:
    some = thin(table.learned, 20)
    assert len(some) == 20 and some.index.is_monotonic_increasing
    assert table.learned.accuracy.idxmax() in some.index
    assert thin(table.learned, 10_000) is table.learned


@pytest.mark.parametrize(
    ("name", "words"),
    [("stage1_width", "stage 1 width"), ("stages", "stages"), ("weight_decay", "weight decay")],
)
def test_parameters_have_words(name: str, words: str) -> None:
    assert words_of(name) == words


@pytest.mark.parametrize(("seconds", "words"), [(5, "5 s"), (600, "10 min"), (9000, "2.5 h")])
def test_durations_have_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_findings_say_what_the_trials_say(table: StudyTable) -> None:
    told = "\n".join(findings(table))
    best = table.complete.accuracy.idxmax()
    assert f"The best is trial {best} with {table.complete.accuracy.max():.2%}" in told
    assert re.search(r"norm .*batch is best", told)
    assert "Inceptions don't pay under 60.0 M" in told
    saved = savings(table)
    assert f"saved {saved.possible - saved.trained:,} of {saved.possible:,} epochs" in told
    published = table.rows.accuracy[0]
    assert f"against {published:.1%} for custom_cnn" in told


def test_where_no_importance_stands_out_from_chance_none_is_told(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = _noise()
    basis = basis_of(noise)
    name, share = next(iter(importances(noise, basis).items()))
    reached = round(importance_by_chance(noise, basis) * SHUFFLES)
    (said,) = (sentence for sentence in findings(noise) if "importan" in sentence.lower())
    assert said.startswith("No importance for accuracy at the end (29 sampled trials) stands out from chance")
    assert f"{words_of(name)} with {share:.0%}, and {reached} of 50 shuffles" in said
    monkeypatch.setattr("search.findings.importance_by_chance", lambda table, basis: 0.5)
    told = "\n".join(findings(table))
    assert "No importance" in told and "Most important" not in told
    assert "Beyond chance by medians: norm batch" in told


@pytest.mark.parametrize(("known", "too"), [("residual", ""), ("norm", ", too,")])
def test_beyond_chance_too_needs_a_told_parameter_that_is(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch, known: str, too: str
) -> None:
    monkeypatch.setattr("search.findings.importance_by_chance", lambda table, basis: 0.0)
    monkeypatch.setattr("search.findings.importances", lambda table, basis: {known: 0.9, "optimizer": 0.1})
    told = "\n".join(findings(table))
    assert "Most important" in told and f"Beyond chance{too} by medians: " in told


def test_an_effect_whose_medians_contradict_its_correlation_has_no_direction(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    mixed: dict[str, Any] = {"correlation": 0.3, "medians": {"at most 2": 0.534, "at least 3": 0.253}}
    found = [
        dataclasses.replace(effect, **mixed, p=0.001) if effect.parameter == "inceptions" else effect
        for effect in effects(table, basis_of(table))
    ]
    monkeypatch.setattr("search.findings.effects", lambda table, basis: found)
    monkeypatch.setattr("search.findings.importances", lambda table, basis: {"inceptions": 0.9})
    told = "\n".join(findings(table))
    assert "; but no direction is clear: median 53.4% with at most 2, 25.3% with at least 3 (rank" in told
    assert "Beyond chance by medians: norm batch" in told
    monkeypatch.setattr("search.findings.importances", lambda table, basis: {"norm": 0.9})
    told = "\n".join(findings(table))
    assert "Most important" in told and "inceptions at most" not in told


def test_inceptions_are_judged_by_the_adjusted_effect_and_the_sampled_trials(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def said() -> str:
        (sentence,) = (sentence for sentence in findings(table) if "nceptions" in sentence[:20])
        return sentence

    found = {effect.parameter: effect for effect in effects(table, basis_of(table))}
    counts = re.search(r"of (\d+) sampled networks with them, [\d.]+% of (\d+) without", said())
    assert counts is not None
    assert int(counts[1]) + int(counts[2]) == len(sampled(table, basis_of(table)).accuracy)
    for changed, words in (
        ([dataclasses.replace(found["inceptions"], p=0.2)], "p = 0.20"),
        ([dataclasses.replace(found["inceptions"], p=0.01, correlation=0.3)], "+0.30, p = 0.010"),
        ([], "without, after epoch 2."),
    ):
        monkeypatch.setattr("search.findings.effects", lambda table, basis, changed=changed: changed)
        assert said().startswith("Whether inceptions pay under 60.0 M") and words in said()


def test_of_equally_accurate_trials_the_cheaper_is_best_and_then_the_earlier() -> None:
    table = StudyTable.of(synthetic_study(4, kinds=("complete",) * 4))
    rows = table.rows.assign(accuracy=[0.4, 0.5, 0.5, 0.5], macs=[1e6, 3e6, 2e6, 2e6])
    table = dataclasses.replace(table, rows=rows)
    assert table.ranked == [2, 3, 1, 0] == [trial.number for trial in top_trials(table, 9)]
    assert table.best is not None and table.best.number == 2
    told = "\n".join(findings(table))
    assert "The best is trial 2" in told and "The best came as number 3 of 4" in told
    rows = rows.assign(accuracy=[0.4, 0.45, 0.5, 0.3])
    told = "\n".join(findings(dataclasses.replace(table, rows=rows)))
    assert "the second half of the study improved on the first by 5.0 points" in told


@pytest.mark.parametrize("kind", ["failed", "died"])
def test_interrupted_trials_are_ranked_where_no_other_was_trained(kind: str, tmp_path: Path) -> None:
    study = synthetic_study(3, kinds=(kind, "over", kind), storage=InMemoryStorage())
    table = StudyTable.of(study)
    best = max((0, 2), key=lambda number: table.rows.accuracy[number])
    assert table.ranked[0] == best == top_trials(table, 1)[0].number and len(table.ranked) == 2
    told = "\n".join(findings(table))
    assert f"No trial has run to its end; the best of those that were trained is trial {best}" in told
    write_report(study, study._storage, Places.of("faces"), tmp_path)
    assert "nan" not in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_how_long_a_trial_ran_whose_worker_died_is_unknown() -> None:
    table = StudyTable.of(synthetic_study(3, kinds=("complete", "died", "failed")))
    assert list(table.rows.seconds.isna()) == list(table.rows.ended.isna()) == [False, True, False]
    assert "They took 8 min of work" in findings(table)[0]  # 12 epochs and 3, of 30 s
    timeline = FIGURES["timeline"](table)
    assert timeline is not None and timeline.layout.title.text == "Timeline of 2 trials"


def test_findings_change_with_the_trials() -> None:
    said = {
        kind: "\n".join(findings(StudyTable.of(synthetic_study(3, kinds=(kind,) * 3))))
        for kind in ("over", "pruned", "complete", "enqueued", "failed")
    }
    assert "No trial has been trained" in said["over"]
    assert re.search(
        r"No trial has run to its end; .* after epoch [26] \(95% interval .* on 3,589 faces\)\.",
        said["pruned"],
    )
    assert "The best is" not in said["pruned"] and "The best is" in said["complete"]
    assert "Nothing was pruned" in said["complete"]
    assert "Stopping 3 of 3 trained trials early saved" in said["pruned"]
    assert re.search(r"flattered on average by at most \d\.\d points", said["complete"])
    assert "All 3 complete trials are networks that the study began with" in said["enqueued"]
    assert "3 were interrupted and queued again" in said["failed"]
    assert len(set(said.values())) == 5


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        (("enqueued",), "for custom_cnn, that it began with ("),
        (("enqueued", "enqueued"), "for custom_cnn, the best of 2 networks that it began with ("),
        (
            ("enqueued", "enqueued", "pruned", "running"),
            "for custom_cnn, the best of 3 networks that it began with, of which 2 ran to their end (",
        ),
        (
            ("enqueued", "pruned", "over"),
            "for custom_cnn, the best of 2 networks that it began with, of which 1 ran to its end (",
        ),
    ],
)
def test_the_networks_that_a_study_began_with_are_those_it_trained(kinds: tuple[str, ...], said: str) -> None:
    study = synthetic_study(1, kinds=("complete",))
    for number, kind in enumerate(kinds, 1):
        trial = synthetic_trial(number, kind=kind)
        trial.set_user_attr("network", "custom_cnn")
        study.add_trial(trial)
    assert said in "\n".join(findings(StudyTable.of(study)))


@pytest.mark.parametrize("trials", [0, 1, 12])
def test_small_studies_have_pictures_and_figures_where_there_is_something_to_draw(
    trials: int, tmp_path: Path
) -> None:
    study = synthetic_study(trials, kinds=("enqueued",) if trials else ())
    paths = write_pictures(study, tmp_path)
    expected = {0: set(), 1: {"history", "pareto", "savings", "curves"}}
    if trials in expected:
        assert {path.stem for path in paths} == expected[trials]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    drawn = [name for name, figure in FIGURES.items() if figure(StudyTable.of(study)) is not None]
    assert {path.stem for path in paths} <= set(drawn)


def test_a_picture_without_trials_for_it_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "importance.png"
    left.write_bytes(b"of an earlier sitting")
    write_pictures(synthetic_study(1), tmp_path)
    assert not left.exists()


def test_pictures_and_figures_have_the_same_names() -> None:
    assert list(PICTURES) == list(FIGURES)


@pytest.mark.slow
def test_report_of_five_thousand_trials_takes_less_than_a_minute(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    study = synthetic_study(5000, storage=storage)
    begun = time.process_time()
    paths = write_report(study, storage, Places.of("faces"), tmp_path)
    assert time.process_time() - begun < 60
    assert {path.suffix for path in paths} == {".html", ".md", ".png"}
    # plotly.js itself is 4.7 MB.
    assert (tmp_path / "report.html").stat().st_size < 8_000_000


def test_report_is_self_contained_and_escaped(tmp_path: Path) -> None:
    storage = InMemoryStorage()
    study = synthetic_study(25, storage=storage)
    study.set_user_attr("settings", settings(data="<b>faces</b>.csv").to_json())
    paths = write_report(study, storage, Places.of("faces"), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("plotly.js v") == 1
    assert not re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=[\"'](?!data:)", page)
    assert "<b>faces</b>" not in page and "&lt;b&gt;faces" in page
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in re.findall(r"!\[[^]]*\]\(([^)]*)\)", markdown):
        assert tmp_path / name in paths
    assert all(sentence in markdown for sentence in findings(StudyTable.of(study)))
    table = StudyTable.of(study)
    count = len(sampled(table, basis_of(table)).accuracy)
    for text in (page, markdown):
        assert f"importance ({count} sampled trials)" in text
        assert re.search(rf"median accuracy (at the end|after epoch \d+) \({count} sampled trials\)", text)


def test_a_parameter_whose_importance_nobody_computed_has_none(
    table: StudyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.document.importances", lambda table, basis: {"norm": 1.0, "residual": 0.0})
    _, rows = _effect_rows(table)
    shares = {name: share for name, share, *_ in rows}
    assert (shares["norm"], shares["residual"], shares["inceptions"]) == ("100.0%", "0.0%", "–")


def test_command_writes_the_report_and_prints_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "faces").mkdir(parents=True)
    kinds = ("enqueued", "complete", "pruned")
    synthetic_study(3, storage="sqlite:///studies/faces/study.db", kinds=kinds)
    assert main(["faces", "--out", "out"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[:2] == ["out/report.html", "out/report.md"]
    assert sorted(map(Path, printed)) == sorted(Path("out").iterdir())


class _Refusing:
    """A store that lets nobody read, as a bucket may."""

    def open_reader(self, artifact_id: str) -> Any:
        raise RuntimeError("AccessDenied when calling GetObject\nmore")


@pytest.mark.parametrize(
    "reason", ["pip install 'expression-search[s3]'", "AccessDenied when calling GetObject"]
)
def test_without_the_bucket_the_report_lacks_the_best_trials_pictures_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "faces").mkdir(parents=True)
    study = synthetic_study(2, storage="sqlite:///studies/faces/study.db", kinds=("complete", "pruned"))
    study.set_user_attr("artifacts", "s3://bucket/faces")
    kept = [ArtifactMeta(name, name, "image/png", None) for name in ("curves.png", "confusion.png")]
    monkeypatch.setattr("search.document.get_all_artifact_meta", lambda trial, storage: kept)
    monkeypatch.setitem(sys.modules, "boto3", None)
    if "AccessDenied" in reason:
        monkeypatch.setattr("search.document.stores_together", lambda urls: _Refusing())
    assert main(["faces"]) == 0
    told = capsys.readouterr()
    assert told.err.startswith("note: the best trial's own pictures can't be had (") and reason in told.err
    assert told.err.count("\n") == 1
    assert "report.html" in told.out and "best_" not in told.out


def test_summary_names_the_best_its_origin_and_the_next_commands() -> None:
    study = synthetic_study(9, kinds=MIXED)
    console = Console(width=200, record=True, file=io.StringIO())
    places = Places.of("faces", "postgresql://me:secret@host/db")
    data = data_options(Path("my data/[x].csv"), Path("fer2013new.csv"))
    given = "--data 'my data/[x].csv' --ferplus fer2013new.csv"
    pictures = [Path("studies/faces/report/history.png")]
    print_summary(console, study, [], Path("models"), places, pictures, data)
    text = console.export_text()
    assert "custom_cnn" in text and "search" in text
    assert "Pictures in studies/faces/report: history.png" in text
    assert "python -m search.dashboard faces --storage" in text
    assert f"python -m search.export faces --top 3 {given} --storage" in text
    assert "secret" not in text
    assert data_options(None, None) == ""
    after = next_commands(StudyTable.of(study), places, data, [Path("models/a"), Path("models/b")])
    tried = [f"python -m zoo.evaluate models/a {given}", "python -m zoo.predict models/a photograph.jpg"]
    assert after[2:] == [*tried, "python -m demo"]
    elsewhere = next_commands(StudyTable.of(study), places, data, [Path("my out/a")])
    assert elsewhere[-1] == "python -m demo --models 'my out'"


def test_page_has_a_note_and_small_plots() -> None:
    study = synthetic_study(80)
    save_page(study, Places.of("faces"))
    save_page(study, Places.of("faces"))
    attributes = study._storage.get_study_system_attrs(study._study_id)
    plots = {key.split(":")[2] for key in attributes if key.startswith("dashboard:plot_data:")}
    assert plots == {"accuracy-against-cost", "time-by-outcome", "early-and-late-ranks"}
    assert sum(len(value) for key, value in attributes.items() if "plot_data" in key) < 40_000
    note = study_note(StudyTable.of(study), Places.of("faces"))
    assert note == "".join(
        attributes[f"dashboard:note_str:{place}"]
        for place in range(sum(key.startswith("dashboard:note_str:") for key in attributes))
    )
    # The dashboard's page is as wide as the widest line of code.
    shown = [line[4:] for line in note.splitlines() if line.startswith("    ")]
    assert max(map(len, shown)) < 105
    told = " ".join(" ".join(shown).replace("\\", "").split())
    assert told == " ".join(commands(StudyTable.of(study), Places.of("faces")))


def test_what_a_person_writes_in_the_studys_note_stays() -> None:
    study, places = synthetic_study(9, kinds=MIXED), Places.of("faces")
    ours = study_note(StudyTable.of(study), places)
    save_note(study, "Why I searched.\n\n- first\n")
    for _ in range(2):
        save_page(study, places)
        assert get_note(study) == f"{ours}Why I searched.\n\n- first\n"
    save_note(study, f"{ours} Seen on Monday: *What you write below this line stays.*\n")
    for _ in range(2):
        save_page(study, places)
        assert get_note(study) == f"{ours} Seen on Monday: *What you write below this line stays.*\n"


def test_a_broken_command_is_the_same_to_a_shell() -> None:
    folder = " ".join(["a", "long", "name"] * 9)
    places = Places.of("faces", f"sqlite:////home/me/{folder}/study.db")
    table = StudyTable.of(synthetic_study(9, kinds=MIXED))
    note = study_note(table, places)
    shown = [line[4:] for line in note.split("### Go on")[1].splitlines() if line.startswith("    ")]
    joined = "\n".join(shown).replace("\\\n", "")  # as a shell does, which shlex doesn't
    assert shlex.split(joined) == shlex.split("\n".join(commands(table, places)))


def test_commands_reproduce_the_settings_without_the_password() -> None:
    study = synthetic_study(9, kinds=MIXED)
    changed = settings(
        max_macs=None, max_parameters=500_000, soft_labels=True, split_kind="random", split_seed=3
    )
    study.set_user_attr("settings", changed.to_json())
    run, export, report = commands(StudyTable.of(study), Places.of("faces", "postgresql://me:secret@host/db"))
    for part in ("--max-macs none", "--max-params 500000", "--ferplus", "--split random --split-seed 3"):
        assert part in run
    assert f"--trial {study.best_trial.number}" in export
    assert all("me:***@host" in command for command in (run, export, report))
    assert all("--data PATH_OF/faces.csv --ferplus PATH_OF/" in command for command in (run, export))


@pytest.mark.parametrize(("finished", "trials"), [(0, 100), (82, 100), (100, 200)])
def test_the_command_to_go_on_asks_for_more_trials_than_are_finished(finished: int, trials: int) -> None:
    study = synthetic_study(finished + 1, kinds=(*("over",) * finished, "failed"))
    study.set_user_attr("settings", settings(drawn=True, split_seed=5).to_json())
    run = commands(StudyTable.of(study), Places.of("faces"))[0]
    assert f"--study faces --trials {trials} " in run and "--split-seed 5" in run


def test_table_of_a_study_that_others_made_is_refused() -> None:
    with pytest.raises(StudyError, match="no settings"):
        StudyTable.of(optuna.create_study(study_name="other"))
