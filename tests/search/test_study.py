import contextlib
import socket
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import optuna
import pytest
import sqlalchemy
from optuna.trial import TrialState

from search import dashboard, export, report
from search.export import top_trials, train_trial
from search.recovery import NETWORK, PROPOSAL, WORKER
from search.sampler import make_pruner, make_sampler
from search.space import Limits, SearchSpace
from search.storage import (
    Patience,
    Places,
    is_full,
    is_lost,
    lost_reason,
    open_storage,
    settle,
    storage_errors,
)
from search.study import (
    SPLIT,
    StudyError,
    create_study,
    finished_trials,
    load_study,
    quiet_optuna,
    settings_of,
)
from search.table import StudyTable
from search.worker import work
from tests.benchmarks.workers import _queue_again, _storage
from tests.search.synthetic import settings
from zoo.data import make_split, split_to_json
from zoo.data.dataset import Split
from zoo.data.drawn import drawn_dataset
from zoo.networks import count


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    quiet_optuna()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def split() -> Split:
    return make_split(drawn_dataset(20, 10, 10))


def starting_points(split: Split) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return SearchSpace.of(settings(), len(split.train)).starting_points()


def make(split: Split, name: str = "s", **changes: Any) -> optuna.Study:
    return create_study(Places.of(name), settings(**changes), split)


def test_a_new_study_begins_with_its_starting_points(split: Split) -> None:
    study = make(split)
    expected = starting_points(split)
    queued = [(t.system_attrs["fixed_params"], t.user_attrs) for t in study.get_trials()]
    assert queued == expected and len(queued) > 2
    assert settings_of(study) == settings()
    assert Path("studies/s/study.db").is_file()


def test_resuming_changes_nothing(split: Split) -> None:
    before = make(split).get_trials()
    again = make(split, data="the same faces elsewhere.csv")
    assert again.get_trials() == before
    assert finished_trials(again) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 3}, "epochs 3 instead of 12"),
        ({"max_macs": None}, "max_macs None instead of 60000000"),
        ({"fingerprint": "another"}, "fingerprint 'another' instead of '0123456789abcdef'"),
        ({"pruner": "none", "seed": 4}, "pruner 'none' instead of 'halving'; seed 4 instead of 0"),
    ],
)
def test_resuming_with_other_settings_is_refused(split: Split, changes: dict[str, Any], message: str) -> None:
    make(split)
    with pytest.raises(StudyError) as raised:
        make(split, **changes)
    assert f"exists with other settings: {message}; required: the same settings" in str(raised.value)


def test_another_programs_study_is_not_taken_over(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study.time.sleep", lambda seconds: pytest.fail("waited"))
    storage = open_storage(Places.of("s"), create=True)
    optuna.create_study(study_name="down", storage=storage)
    optuna.create_study(study_name="pair", storage=storage, directions=["maximize", "maximize"])
    used = optuna.create_study(study_name="used", storage=storage, direction="maximize")
    used.enqueue_trial({"x": 1})
    for name in ("down", "pair", "used"):
        with pytest.raises(StudyError, match="search.run didn't make it; required: another name with --st"):
            create_study(Places.of(name, "sqlite:///studies/s/study.db"), settings(), split)
    assert used.user_attrs == {} and len(used.trials) == 1


def test_an_empty_study_without_settings_is_set_up(split: Split, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.study._CREATION_SECONDS", 0)
    storage = open_storage(Places.of("s"), create=True)
    optuna.create_study(study_name="s", storage=storage, direction="maximize")
    assert settings_of(make(split)) == settings()


def test_the_benchmarks_second_study_is_set_up_as_the_first(
    split: Split, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def place(workers: int) -> Places:
        return Places(f"workers-{workers}", _storage(str(folder), workers), folder)

    first = create_study(place(1), settings(), split)
    _queue_again(str(folder))
    monkeypatch.setattr("search.study.time.sleep", lambda seconds: pytest.fail("waited"))
    second = create_study(place(2), settings(), split)
    assert second.user_attrs == first.user_attrs and len(second.trials) == len(first.trials)


def test_a_study_whose_setting_up_was_cut_off_is_completed(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("search.study._CREATION_SECONDS", 0.1)
    storage = open_storage(Places.of("s"), create=True)
    begun = optuna.create_study(study_name="s", storage=storage, direction="maximize")
    begun.set_user_attr(SPLIT, split_to_json(split))
    params, attributes = starting_points(split)[0]
    begun.enqueue_trial(params, user_attrs=attributes)
    study = make(split)
    assert len(study.get_trials()) == len(starting_points(split))
    assert settings_of(study) == settings()


def test_resuming_queues_the_trials_of_dead_workers(split: Split) -> None:
    study = make(split)
    trial = study.ask()
    trial.suggest_float("x", 0, 1)
    trial.set_user_attr(WORKER, {"host": socket.gethostname(), "pid": 2**22 + 1, "began": 0.0})
    trial.set_user_attr(PROPOSAL, "a" * 16)
    checkpoints = Places.of("s").checkpoints
    checkpoints.mkdir()
    (checkpoints / ("a" * 16 + ".pt")).touch()
    resumed = make(split)
    assert [t.state for t in resumed.get_trials()][0] == TrialState.FAIL
    assert resumed.get_trials()[-1].user_attrs == {
        "continues": 0,
        "crashes": 1,
        NETWORK: trial.user_attrs[NETWORK],
    }
    assert [path.name for path in checkpoints.iterdir()] == ["a" * 16 + ".pt"]


def test_a_study_that_does_not_exist_lists_those_that_do(split: Split) -> None:
    with pytest.raises(StudyError, match="required: a study that search.run has made"):
        load_study(Places.of("s"))
    make(split, "one")
    with pytest.raises(StudyError, match="required: one of the studies here: one"):
        load_study(Places.of("s"))
    with pytest.raises(
        StudyError, match="study 's' is not in sqlite:///studies/one/study.db; there are: one"
    ):
        load_study(Places.of("s", "sqlite:///studies/one/study.db"))


def test_a_study_of_others_has_no_settings() -> None:
    with pytest.raises(StudyError, match="required: one that search.run made"):
        settings_of(optuna.create_study())


@pytest.mark.parametrize("name", ["", "..", ".hidden", "a/b", "a b", "a?b", "-x", "{x}", "x" * 101, "a\n"])
def test_names_that_name_no_folder_are_refused(name: str) -> None:
    with pytest.raises(StudyError, match="study name .* is not possible; required: "):
        Places.of(name)


@pytest.mark.parametrize("name", ["fer2013", "zoë", "a.b-c_d", "1"])
def test_other_names_make_a_study(name: str, split: Split) -> None:
    assert make(split, name).study_name == name
    assert load_study(Places.of(name)).study_name == name


def test_braces_in_a_storages_url_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "{a}{{b}.db"
    storage = open_storage(Places("s", f"sqlite:///{path}", tmp_path), create=True)
    assert path.is_file() and optuna.get_all_study_names(storage) == []


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nonsense", "is no URL of a database"),
        ("postgresql//me:secret@host/db", r"'postgresql//me:\*\*\*@host/db' is no URL of a database"),
        ("postgresql://me:p@ss:wo/rd@host/db", r"'postgresql://me:\*\*\*@host/db' is no URL of a database"),
        ("sqlite://", "is in memory"),
        ("sqlite:///:memory:", "is in memory"),
    ],
)
def test_storages_that_cannot_be_shared_are_refused(url: str, message: str) -> None:
    with pytest.raises(StudyError, match=message):
        Places.of("s", url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:secret@127.0.0.1:1/faces", "can't be opened: .*(refused|connect)"),
        ("nosuchdatabase://me:secret@host/faces", "can't be opened: .*nosuchdatabase"),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_without_its_password(url: str, message: str) -> None:
    with pytest.raises(StudyError, match=message) as raised:
        open_storage(Places.of("s", url))
    assert "secret" not in str(raised.value) and "me:***@" in str(raised.value)


def test_a_folder_instead_of_a_database_file_is_told(folder: Path) -> None:
    (folder / "faces.db").write_bytes(b"no database" * 1000)
    with pytest.raises(StudyError, match="can't be opened: file is not a database"):
        open_storage(Places.of("s", "sqlite:///faces.db"))


def damage(path: Path, table: str) -> None:
    """Overwrite a table's first page."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
        (page,) = connection.execute(query, (table,)).fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)


DAMAGED = (
    r"^studies/s/study\.db: the study's storage is damaged \(database disk image is malformed\); required: a "
    r"copy of it, or what `sqlite3 studies/s/study\.db \.recover` can still read$"
)


def test_a_damaged_file_is_told_at_once_where_it_is_opened(
    split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(split)
    settle(Places.of("s"))
    damage(Path("studies/s/study.db"), "alembic_version")
    monkeypatch.setattr("search.storage.time.sleep", lambda seconds: pytest.fail("waited"))
    for patience in (None, Patience(60)):
        with pytest.raises(StudyError, match=DAMAGED):
            open_storage(Places.of("s"), patience=patience)


@pytest.mark.parametrize(
    ("command", "table"),
    [
        (lambda: export.main(["s"]), "trials"),
        (lambda: report.main(["s"]), "trials"),
        (lambda: dashboard.main(["s"]), "study_user_attributes"),
        (lambda: work(mock.Mock(places=Places.of("s"))), "trials"),
        (lambda: train_trial(mock.Mock(places=Places.of("s"))), "trials"),
    ],
    ids=["export", "report", "dashboard", "worker", "final training"],
)
def test_a_damaged_file_is_told_where_it_is_read(
    split: Split, monkeypatch: pytest.MonkeyPatch, command: Callable[[], object], table: str
) -> None:
    def read(task: mock.Mock, *arguments: object) -> None:
        load_study(task.places).get_trials()

    make(split)
    settle(Places.of("s"))
    damage(Path("studies/s/study.db"), table)
    monkeypatch.setattr("search.worker._work", read)
    monkeypatch.setattr("search.export._train_trial", read)
    for guard in ("search.child.guard", "search.worker.guard"):
        monkeypatch.setattr(guard, lambda body, errors, on_stop=None: body())
    with pytest.raises(StudyError, match=DAMAGED):
        command()


def test_a_file_of_another_version_of_optuna_is_told(split: Split) -> None:
    make(split)
    with contextlib.closing(sqlite3.connect("studies/s/study.db")) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = 'v1.3.0.a'")
    with pytest.raises(
        StudyError, match=r"can't be opened: The runtime optuna .* `\$ optuna storage upgrade"
    ):
        load_study(Places.of("s"))


def lost(message: str) -> Exception:
    error = optuna.exceptions.StorageInternalError("An exception is raised during the commit.")
    error.__cause__ = sqlalchemy.exc.OperationalError("SELECT", {}, Exception(message + "\nmore"))
    return error


def test_a_lost_database_is_told_in_one_line() -> None:
    error = lost("the server has gone")
    assert is_lost(error) and not is_full(error) and lost_reason(error) == "the server has gone"
    assert is_full(lost("database or disk is full")) and is_full(lost("No space left on device"))
    told = r"is lost \(the server has gone\); .* run the same command again"
    with pytest.raises(StudyError, match=told), storage_errors(Places.of("s")):
        raise error


def test_a_fault_of_ours_is_not_a_lost_database() -> None:
    error = optuna.exceptions.StorageInternalError("")
    error.__cause__ = sqlalchemy.exc.DataError("INSERT", {}, Exception("value too long"))
    assert not is_lost(error) and not is_lost(ValueError())
    with pytest.raises(optuna.exceptions.StorageInternalError), storage_errors(Places.of("s")):
        raise error


def test_patience_ends_with_time_success_or_the_wish_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("search.storage.time.monotonic", lambda: now[0])
    monkeypatch.setattr("search.storage.time.sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    patience = Patience(3)
    assert [patience.lasts() for _ in range(5)] == [True] * 4 + [False] and patience.over
    patience.restore()
    assert not patience.over and patience.lasts()
    assert not Patience(3, stopping=lambda: True).lasts()


def sample(sampler: optuna.samplers.BaseSampler) -> tuple[float, ...]:
    study = optuna.create_study(sampler=sampler)
    return tuple(study.ask().suggest_float("x", 0, 1) for _ in range(3))


def test_samplers_repeat_themselves_but_not_each_other() -> None:
    def drawn() -> list[tuple[float, ...]]:
        tasks = [(0, 0, 0, ""), (0, 1, 0, ""), (0, 0, 7, ""), (0, 0, 0, "other"), (2**31 - 1, 0, 0, "")]
        return [sample(make_sampler(*task)) for task in tasks]

    first = drawn()
    assert first == drawn()
    assert len({x for xs in first for x in xs}) == 15


def test_the_sampler_answers_as_tpe_does() -> None:
    def objective(trial: optuna.Trial) -> float:
        value = trial.suggest_float("x", 0, 1) + trial.suggest_categorical("y", (0.1, 0.2))
        if trial.suggest_categorical("deep", (False, True)):
            value += trial.suggest_int("z", 1, 3)
        trial.set_constraint("over the limit", value - 3)
        trial.report(value, 1)
        if trial.number % 3 == 1:
            raise optuna.TrialPruned
        return value

    ours = make_sampler(3, 1, 0)
    theirs = optuna.samplers.TPESampler(multivariate=True, group=True, constant_liar=True)
    theirs._rng.rng.set_state(ours._rng.rng.get_state())  # type: ignore[attr-defined]
    theirs._random_sampler._rng.rng.set_state(ours._random_sampler._rng.rng.get_state())  # type: ignore[attr-defined]
    found = []
    for sampler in (ours, theirs):
        study = optuna.create_study(direction="maximize", sampler=sampler)
        # One that stays unfinished for a while has parameters that no finished trial has.
        late = study.ask()
        late.suggest_float("late", 0, 1)
        study.optimize(objective, n_trials=15)
        study.tell(late, 0.5)
        study.optimize(objective, n_trials=15)
        found.append([trial.params for trial in study.trials])
    assert found[0] == found[1]


def test_ten_networks_are_trained_before_tpe_begins_and_all_are_within_the_limits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    learnt = []
    relative = optuna.samplers.TPESampler.sample_relative

    def seen(self: Any, study: optuna.Study, trial: optuna.trial.FrozenTrial, search_space: Any) -> Any:
        learnt.append(trial.number)
        return relative(self, study, trial, search_space)

    monkeypatch.setattr(optuna.samplers.TPESampler, "sample_relative", seen)
    limits = Limits(4_000_000)  # one random network of six is within them
    space = SearchSpace(7, limits, epochs=4, faces=1000, seed=0, soft_labels=False)
    study = optuna.create_study(direction="maximize", sampler=make_sampler(0, 0, 0, space=space))
    published, (plain, _) = {"optimizer": "sgd"}, space.starting_points()[-1]
    study.enqueue_trial(published, user_attrs={"network": "simple_conv"})
    study.enqueue_trial(plain)

    def objective(trial: optuna.Trial) -> float:
        proposal = space.suggest(trial)
        if trial.number > 1:
            assert limits.allow(count(proposal.config))
        if trial.number == 5:
            raise optuna.TrialPruned  # untrained
        trial.report(0.1, 1)
        return proposal.config.widths[0] / 100

    study.optimize(objective, n_trials=20)
    # Published, plain, nine others and the untrained one come first.
    assert sorted(set(learnt)) == list(range(12, 20))


def test_where_hardly_a_network_fits_the_slimmest_is_trained() -> None:
    limits = Limits(600_000)
    space = SearchSpace(7, limits, epochs=4, faces=1000, seed=0, soft_labels=False)
    study = optuna.create_study(sampler=make_sampler(0, 0, 0, space=space))
    proposals = [space.suggest(study.ask()) for _ in range(2)]
    assert all(limits.allow(count(proposal.config)) for proposal in proposals)
    assert proposals[0].fingerprint != proposals[1].fingerprint


def test_two_runs_with_the_same_seed_propose_nothing_twice() -> None:
    space = SearchSpace(7, Limits(4_000_000), epochs=4, faces=1000, seed=0, soft_labels=False)
    study = optuna.create_study(direction="maximize")
    samplers = [make_sampler(0, 0, 0, space=space) for _ in range(2)]
    proposed = []
    for turn in range(6):
        study.sampler = samplers[turn % 2]
        trial = study.ask()
        proposal = space.suggest(trial)
        assert space.limits.allow(count(proposal.config))
        trial.set_user_attr(PROPOSAL, proposal.fingerprint)
        proposed.append(proposal.fingerprint)
    assert len(set(proposed)) == 6


@pytest.mark.parametrize(("pruner", "kind"), [("halving", "Halving"), ("median", "Median"), ("none", "Nop")])
def test_pruners_have_their_names(pruner: str, kind: str) -> None:
    assert type(make_pruner(settings(pruner=pruner))).__name__.strip("_").removesuffix("Pruner") == kind


def bare() -> optuna.Study:
    study = optuna.create_study(direction="maximize")
    study.set_user_attr("settings", settings().to_json())
    return study


def add(study: optuna.Study, state: TrialState, accuracy: float, proposal: str, **more: str) -> None:
    attributes = {"recipe": {}, PROPOSAL: proposal, **more}
    study.add_trial(
        optuna.create_trial(
            state=state,
            value=None if state == TrialState.FAIL else accuracy,
            intermediate_values={1: 0.1, 2: accuracy},
            user_attrs=attributes,
        )
    )


def test_the_best_trials_are_complete_and_distinct() -> None:
    study = bare()
    for state, accuracy, proposal in (
        (TrialState.COMPLETE, 0.5, "a"),
        (TrialState.PRUNED, 0.9, "b"),
        (TrialState.COMPLETE, 0.7, "c"),
        (TrialState.COMPLETE, 0.7, "c"),
        (TrialState.COMPLETE, 0.6, "d"),
    ):
        add(study, state, accuracy, proposal)
    table = StudyTable.of(study)
    assert [trial.number for trial in top_trials(table, 2)] == [2, 4]
    assert [trial.number for trial in top_trials(table, 9)] == [2, 4, 0]
    assert top_trials(table, 0) == []


def test_without_complete_trials_the_best_so_far_are_taken() -> None:
    study = bare()
    assert top_trials(StudyTable.of(study), 3) == []
    add(study, TrialState.FAIL, 0.4, "a")
    assert [trial.number for trial in top_trials(StudyTable.of(study), 2)] == [0]
    add(study, TrialState.PRUNED, 0.3, "b")
    assert [trial.number for trial in top_trials(StudyTable.of(study), 2)] == [1]
    # Pruning let this one go on.
    add(study, TrialState.FAIL, 0.35, "c", reason="interrupted")
    assert [trial.number for trial in top_trials(StudyTable.of(study), 2)] == [2, 1]


def test_an_interrupted_trial_ahead_of_all_complete_ones_comes_first_until_it_was_continued() -> None:
    study = bare()
    add(study, TrialState.COMPLETE, 0.4, "start")
    for accuracy, proposal in ((0.5, "a"), (0.58, "b"), (0.6, "c"), (0.7, "d"), (0.39, "e")):
        add(study, TrialState.FAIL, accuracy, proposal, reason="interrupted")
    add(study, TrialState.FAIL, 0.9, "f", reason="error: KeyError: 1")
    # These go on from trials 3 and 4; the first was interrupted again.
    add(study, TrialState.FAIL, 0.61, "c", reason="interrupted", continues="3")
    add(study, TrialState.PRUNED, 0.71, "d", continues="4")
    # Another repeated trial 2 while it was running.
    add(study, TrialState.PRUNED, 0.1, "b", duplicate_of="2")
    best = top_trials(StudyTable.of(study), 9)
    assert [trial.user_attrs[PROPOSAL] for trial in best] == ["c", "b", "a", "start"]
    add(study, TrialState.COMPLETE, 0.59, "b", continues="2")
    best = top_trials(StudyTable.of(study), 9)
    assert [trial.user_attrs[PROPOSAL] for trial in best] == ["c", "b", "start"]


@pytest.mark.parametrize(
    ("epoch", "accuracy", "pruned"),
    [(1, 0.6, False), (1, 0.57, True), (5, 0.1, False), (4, 0.73, False), (4, 0.69, True), (4, 0.1, True)],
)
def test_halving_asks_more_once_trials_are_finished(epoch: int, accuracy: float, pruned: bool) -> None:
    quiet_optuna()
    study = optuna.create_study(direction="maximize", pruner=make_pruner(settings(epochs=12)))
    for number in range(20):
        finished = number < 5
        # The finished ones had 0.58 to 0.62 after epochs 1 to 3 and 0.68 to 0.72 from epoch 4 on.
        first = 0.58 + number / 100 if finished else 0.1
        later = {step: first + (0.1 if step > 3 else 0) for step in range(2, 13)}
        values = {1: first, **later} if finished else {1: first}
        state = TrialState.COMPLETE if finished else TrialState.PRUNED
        study.add_trial(optuna.trial.create_trial(state=state, value=first, intermediate_values=values))
    trial = study.ask()
    for step in range(1, epoch + 1):
        trial.report(accuracy if step == epoch else 0.9, step)
        said = trial.should_prune()
        assert not said or step == epoch
    assert said == pruned


@pytest.mark.parametrize(
    ("epochs", "rungs"),
    [(1, []), (2, [1]), (10, [1, 2, 3, 4, 6]), (12, [1, 2, 3, 4, 6, 8]), (40, [4, 6, 8, 11, 16, 23])],
)
def test_halving_judges_after_these_epochs(epochs: int, rungs: list[int]) -> None:
    quiet_optuna()
    study = optuna.create_study(direction="maximize", pruner=make_pruner(settings(epochs=epochs)))
    good = {step: 0.5 for step in range(1, epochs + 1)}
    study.add_trial(optuna.trial.create_trial(value=0.5, intermediate_values=good))
    trial = study.ask()
    judged = []
    for step in range(1, epochs + 1):
        trial.report(0.1, step)
        judged += [step] if trial.should_prune() else []
    assert judged == rungs


def test_an_interrupted_trial_does_not_compete_beside_its_continuation() -> None:
    quiet_optuna()
    study = optuna.create_study(direction="maximize", pruner=make_pruner(settings(epochs=12)))
    # Of ten, the five best go on; of eight that are distinct, the newcomer is the fourth best.
    for accuracy, state in (
        *((0.3 + number / 100, TrialState.PRUNED) for number in range(4)),
        (0.7, TrialState.PRUNED),
        (0.6, TrialState.FAIL),
        (0.6, TrialState.FAIL),
        (0.6, TrialState.PRUNED),
        (0.5, TrialState.PRUNED),
    ):
        study.add_trial(
            optuna.trial.create_trial(
                state=state,
                value=accuracy if state == TrialState.PRUNED else None,
                intermediate_values={1: accuracy},
            )
        )
    trial = study.ask()
    trial.report(0.45, 1)
    assert not trial.should_prune()


def test_settings_of_another_program_are_told() -> None:
    study = optuna.create_study()
    study.set_user_attr("settings", {"rate": 0.1})
    with pytest.raises(StudyError, match="has other settings than search.run's; required: one that it made"):
        settings_of(study)
