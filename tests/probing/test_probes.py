"""Probing: stored features are those of the model, and heads trained together are those trained apart."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
import torch

from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method
from scalearn_lib.probing.heads import train_heads
from scalearn_lib.probing.pairs import ROWS, Probe
from scalearn_lib.probing.probes import execute_probe, probe, probing_data
from scalearn_lib.probing.store import read_pairs
from scalearn_lib.runs import Run
from scalearn_lib.tasks import get_task
from scalearn_lib.training.budget import BUDGETS, SOURCE_BUDGET, make_budget

from ..tasks.mirror import write_mirror


@pytest.mark.parametrize("name", ["toy_topic", "toy_score"])
def test_heads_trained_together_equal_heads_trained_apart(name: str) -> None:
    task = get_task("toy", name)
    generator = torch.Generator().manual_seed(0)
    features = {
        s: torch.randn(3, n, 8, generator=generator) for s, n in (("train", 40), ("validation", 12), ("test", 9))
    }
    labels = {}
    for split, x in features.items():
        integers = torch.randint(0, 3, (x.shape[1],), generator=generator)
        labels[split] = integers.float() if task.kind == "regression" else integers
    together = train_heads(task, features, labels, seeds=[1, 5])
    for setting, (place, seed) in product(range(3), enumerate([1, 5])):
        apart = train_heads(task, {s: x[setting : setting + 1] for s, x in features.items()}, labels, [seed])
        for split in ("validation", "test"):
            torch.testing.assert_close(together[split][setting, place], apart[split][0, 0], rtol=1e-4, atol=1e-5)
    assert not torch.equal(together["test"][:, 0], together["test"][:, 1])  # the seed does something


def test_every_budget_says_how_many_rows_are_probed() -> None:
    assert set(ROWS) == set(BUDGETS)


def test_heads_learn_what_can_be_learned() -> None:
    task = get_task("toy", "toy_topic")
    generator = torch.Generator().manual_seed(0)
    labels = {
        s: torch.randint(0, 3, (n,), generator=generator) for s, n in (("train", 300), ("validation", 60), ("test", 60))
    }
    clean = {s: torch.nn.functional.one_hot(y, 8).float() * 3 for s, y in labels.items()}
    noise = {s: torch.randn(len(y), 8, generator=generator) for s, y in labels.items()}
    logits = train_heads(
        task, {s: torch.stack([clean[s], noise[s]]) for s in labels}, labels, seeds=[0], learning_rate=1e-2
    )
    accuracy = (logits["test"][:, 0].argmax(-1) == labels["test"]).float().mean(1)
    assert accuracy[0] == 1.0 and accuracy[1] < 0.7


@torch.no_grad()  # whoever calls: heads learn
def test_probe_gives_a_row_per_setting_and_seed(toy_adapters: dict[str, Path]) -> None:
    task = get_task("toy", "toy_topic")
    data = probing_data("toy", "toy_topic", "tiny", "smoke")
    assert {split: len(rows) for split, rows in data.items()} == {"train": 16, "validation": 8, "test": 16}
    settings = [(0.0, 0.0), (1.0, 0.5)]
    probes = probe(task, data, "tiny", toy_adapters, settings, seeds=[0, 1])
    assert list(probes.columns) == ["toy_topic", "toy_polarity", "seed", "score", "validation"]
    assert sorted(zip(probes["toy_topic"], probes["toy_polarity"], probes["seed"], strict=True)) == [
        (0.0, 0.0, 0), (0.0, 0.0, 1), (1.0, 0.5, 0), (1.0, 0.5, 1)
    ]  # fmt: skip
    assert probes["score"].between(0, 1).all()


@pytest.mark.parametrize("name", ["superglue/copa", "humset/pillars_2d", "glue/stsb"])
def test_choices_labels_and_scores_are_probed(
    name: str, toy_adapters: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(write_mirror(tmp_path)))
    suite, task = name.split("/")
    data = probing_data(suite, task, "tiny", "smoke")
    frame = probe(get_task(suite, task), data, "tiny", {"toy_topic": toy_adapters["toy_topic"]}, [(0.0,), (1.0,)], [0])
    assert list(frame["toy_topic"]) == [0.0, 1.0] and frame["score"].between(-1, 1).all()


@pytest.mark.parametrize(("budget", "adapters"), [("paper", {0: (0,), 3: (3,)}), ("quick", {0: (0, 3)})])
def test_heads_go_on_adapters_of_their_seed_in_the_papers_budget(
    budget: str, adapters: dict[int, tuple[int, ...]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = Probe("toy", "toy_topic", "toy_pair", "tiny", budget, (0.0, 1.0), (0, 3))
    assert wanted.heads_by_adapters() == adapters
    assert list(wanted.sources()) == [(name, seed) for seed in adapters for name in ("toy_topic", "toy_pair")]
    assert all((run.task, run.seed) == place for place, run in wanted.sources().items())
    short = {"max_steps": 2, "eval_steps": 2, "max_train": 16, "max_validation": 8, "max_test": 8}
    monkeypatch.setitem(ROWS, budget, (16, 8, 16))
    few = make_budget("smoke", get_method("adapter"), get_task("toy", "toy_topic"), None, short)
    monkeypatch.setattr(Run, "settings", lambda run: few)
    table = read_pairs(execute_probe(wanted, tmp_path))
    assert len(table) == 4 * 2 and set(table["seed"]) == {0, 3} and wanted.is_stored(tmp_path)
    made = {
        path.name
        for path in (tmp_path / "toy/tiny" / SOURCE_BUDGET[budget] / "adapter/toy_topic").iterdir()
        if path.is_dir()
    }
    assert made == {f"seed{seed}" for seed in adapters}


@pytest.mark.parametrize("pair", [("seed", "first"), ("first", "score")])
def test_a_task_with_the_name_of_a_column_is_refused(pair: tuple[str, str]) -> None:
    with pytest.raises(UserError, match="cannot be probed: the table of scores has a column called '(seed|score)'"):
        Probe("toy", *pair, "tiny", "smoke")
