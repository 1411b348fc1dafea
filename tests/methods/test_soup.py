"""AdapterSoup: similarities, weights, the average, the kept embeddings, saving and loading."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from scalearn_lib.errors import UserError
from scalearn_lib.methods import get_method, soup
from scalearn_lib.methods.base import transfer_parameters
from scalearn_lib.methods.soup import (
    AdapterSoup,
    draw_sentences,
    embedding_file,
    mean_embedding,
    source_tasks,
    write_embedding,
)
from scalearn_lib.paths import output_dir
from scalearn_lib.tasks import Task, get_suite, get_task
from scalearn_lib.tasks.encoders import load_model, load_tokenizer

from .helpers import INPUTS

TASKS = {task.name: task for task in get_suite("toy").tasks}
TASK = TASKS["toy_topic"]
METHOD = get_method("adapter_soup").learner(top_k=2, sentences=16)


@pytest.fixture(autouse=True)
def nothing_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soup, "_embeddings", {})
    monkeypatch.setenv("SCALEARN_OUTPUT", str(tmp_path / "outputs"))


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """Four random source adapters, laid out as runs are."""
    model = load_model("tiny")
    folders = {name: tmp_path / "runs" / name / "weights" for name in TASKS}
    torch.manual_seed(0)
    for name, folder in folders.items():
        model.add_adapter(name, config="seq_bn")
        for n, p in model.named_parameters():
            if f".adapters.{name}." in n:
                nn.init.normal_(p, std=0.3)
        folder.parent.mkdir(parents=True)
        model.save_adapter(str(folder), name, use_safetensors=True)
    return folders


def prepared(method: AdapterSoup, sources: dict[str, Path], seed: int = 0) -> nn.Module:
    model = load_model("tiny")
    torch.manual_seed(seed)
    method.prepare(model, [TASK], sources)
    return model.eval()


def give(means: dict[str, list[float]], sentences: int) -> None:
    """Store embeddings of the tasks, with these first components, as if they had been computed."""
    model = load_model("tiny")
    for name, values in means.items():
        mean = torch.tensor(values + [0.0] * (32 - len(values)), dtype=torch.float64)
        write_embedding(embedding_file(model, TASKS[name], sentences), mean)


def files() -> list[Path]:
    """The embeddings that are kept."""
    return sorted(output_dir().rglob("*.npy"))


@pytest.mark.parametrize("name", ["toy_topic", "toy_pair"])
def test_similarity_is_the_mean_cosine_of_all_pairs(name: str) -> None:
    """Brute force: one sentence at a time, without padding, and a matrix of all cosines."""
    model, tokenizer = load_model("tiny"), load_tokenizer("tiny")
    single, means = [], []
    for task in (TASK, TASKS[name]):
        sentences = draw_sentences(task, 70)
        assert len(sentences) == 70  # more than a batch
        with torch.no_grad():
            hidden = [model.base_model(**tokenizer(s, return_tensors="pt")).last_hidden_state[0] for s in sentences]
        single.append(torch.stack([states.mean(0) for states in hidden]))
        means.append(mean_embedding(model, tokenizer, task, sentences))
    cosines = torch.nn.functional.cosine_similarity(single[0].unsqueeze(1), single[1].unsqueeze(0), dim=-1)
    assert cosines.shape == (70, 70)
    assert float(means[0] @ means[1]) == pytest.approx(float(cosines.double().mean()), abs=1e-6)


def test_sentences_are_a_fixed_draw_from_the_training_split() -> None:
    every = draw_sentences(TASKS["toy_pair"], 10_000)
    rows = TASKS["toy_pair"].load()["train"]
    assert every == [f"{a} {b}" for a, b in zip(rows["text"][:], rows["text_pair"][:], strict=True)]
    drawn = draw_sentences(TASKS["toy_pair"], 20)
    assert drawn == draw_sentences(TASKS["toy_pair"], 20) != every[:20]
    assert len(set(drawn)) == 20 and set(drawn) <= set(every)
    assert get_method("adapter_soup").learner().sentences == 10_000 and get_method("adapter_soup").learner().top_k == 5


def test_weights_are_the_similarities_of_the_nearest(sources: dict[str, Path]) -> None:
    means = {"toy_topic": [0.8], "toy_pair": [0.1], "toy_score": [0.6], "toy_polarity": [0.4]}
    give(means, 16)
    method = get_method("adapter_soup").learner(top_k=3, sentences=16)
    weights = method.weights(load_model("tiny"), TASK, sources)
    assert weights == pytest.approx({"toy_topic": 8 / 18, "toy_score": 6 / 18, "toy_polarity": 4 / 18})
    assert sum(weights.values()) == pytest.approx(1)


def test_the_target_is_a_candidate_like_others_and_dissimilar_sources_count_nothing(sources: dict[str, Path]) -> None:
    means = {"toy_topic": [0.3], "toy_pair": [-0.9], "toy_score": [0.9], "toy_polarity": [0.5]}
    give(means, 16)
    model = load_model("tiny")
    assert get_method("adapter_soup").learner(top_k=1, sentences=16).weights(model, TASK, sources) == {"toy_score": 1.0}
    weights = get_method("adapter_soup").learner(top_k=4, sentences=16).weights(model, TASK, sources)
    assert list(weights) == list(sources)
    assert weights == pytest.approx({"toy_topic": 3 / 17, "toy_pair": 0, "toy_score": 9 / 17, "toy_polarity": 5 / 17})


def test_a_target_that_is_no_source(sources: dict[str, Path]) -> None:
    del sources["toy_topic"]
    weights = METHOD.weights(load_model("tiny"), TASK, sources)
    assert len(weights) == 2 and sum(weights.values()) == pytest.approx(1)
    assert len(files()) == 4  # the target's own is kept too


def test_the_adapter_is_the_weighted_average_and_only_the_head_learns(sources: dict[str, Path]) -> None:
    model, plain = prepared(METHOD, sources), load_model("tiny")
    assert list(model.adapters_config.adapters) == ["adapter_soup"]
    assert transfer_parameters(model) == 0 and model.base_model.model_frozen  # or AdapterTrainer would refuse it
    learned = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learned == {name for name, _ in model.named_parameters() if name.startswith("heads.toy_topic.")}
    weights = model.soup_weights
    assert len(weights) == 2 and sum(weights.values()) == pytest.approx(1)
    for name in weights:
        plain.load_adapter(str(sources[name]), load_as=name, with_head=False, use_safetensors=True)
    parameters = dict(plain.named_parameters())
    averaged = {name: p for name, p in model.named_parameters() if ".adapter_soup." in name}
    assert len(averaged) == 2 * 4
    for name, p in averaged.items():
        parts = {of: parameters[name.replace(".adapter_soup.", f".{of}.")] for of in weights}
        torch.testing.assert_close(p, sum(weight * parts[of] for of, weight in weights.items()))
    with torch.no_grad():
        active = model.base_model(**INPUTS).last_hidden_state
        assert (active - load_model("tiny").base_model(**INPUTS).last_hidden_state).abs().max() > 0.1


def test_what_was_learned_comes_back(sources: dict[str, Path], tmp_path: Path) -> None:
    first, second = (prepared(METHOD.learner(top_k=k), sources, seed) for k, seed in ((2, 0), (4, 1)))
    METHOD.save(first, [TASK], tmp_path / "saved")
    assert json.loads((tmp_path / "saved" / "soup.json").read_text()) == first.soup_weights
    with torch.no_grad():
        assert not torch.equal(first(**INPUTS).logits, second(**INPUTS).logits)
        METHOD.load(second, [TASK], tmp_path / "saved")
        assert torch.equal(first(**INPUTS).logits, second.eval()(**INPUTS).logits)
    assert second.soup_weights == first.soup_weights
    learned = [{name for name, p in model.named_parameters() if p.requires_grad} for model in (first, second)]
    assert learned[0] == learned[1]


def test_embeddings_are_computed_once(sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*arguments: object) -> Tensor:
        calls.append(arguments[2].name)
        return mean_embedding(*arguments)

    monkeypatch.setattr(soup, "mean_embedding", counted)
    model = load_model("tiny")
    first = METHOD.weights(model, TASK, sources)
    assert sorted(calls) == sorted(TASKS) and len(files()) == 4
    assert METHOD.weights(model, TASK, sources) == first
    for file in files():
        file.unlink()
    assert METHOD.weights(model, TASK, sources) == first  # from memory, and on disk again
    soup._embeddings.clear()
    assert METHOD.weights(model, TASK, sources) == first  # from the files
    assert len(calls) == 4 and len(files()) == 4
    assert not list(output_dir().rglob(".*"))
    get_method("adapter_soup").learner(top_k=2, sentences=8).weights(model, TASK, sources)
    assert len(calls) == 8 and len(files()) == 8  # another number of sentences
    with torch.no_grad():
        model.get_input_embeddings().weight.add_(0.1)
    METHOD.weights(model, TASK, sources)
    assert len(calls) == 12 and len(files()) == 12  # another encoder


def test_nothing_is_written_beside_the_sources(sources: dict[str, Path], tmp_path: Path) -> None:
    """They may lie in the reference study, which is read-only."""
    before = sorted((tmp_path / "runs").rglob("*"))
    METHOD.weights(load_model("tiny"), TASK, sources)
    assert sorted((tmp_path / "runs").rglob("*")) == before and len(files()) == 4


def test_where_nothing_can_be_written_nothing_is_kept(
    sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("SCALEARN_OUTPUT", str(tmp_path / "a file"))
    assert sum(METHOD.weights(load_model("tiny"), TASK, sources).values()) == pytest.approx(1)


def test_other_embeddings_have_other_files(tmp_path: Path) -> None:
    model, moved, changed = (load_model("tiny") for _ in range(3))
    moved.config.name_or_path = moved.name_or_path = str(tmp_path)
    with torch.no_grad():
        changed.get_input_embeddings().weight.add_(0.1)
    tasks = (TASK, TASKS["toy_pair"], replace(TASK, content="others"), replace(TASK, suite="other"))
    names = [embedding_file(model, task, 16) for task in tasks]
    names += [embedding_file(other, TASK, 16) for other in (moved, changed)]
    names += [embedding_file(model, TASK, 8), embedding_file(model, TASK, 16, 384)]
    assert len(set(names)) == 8 and names[0] == embedding_file(load_model("tiny"), TASK, 16)


def test_embedding_leaves_no_trace_in_the_random_stream_and_the_model(sources: dict[str, Path]) -> None:
    """So that a run is the same whether the embeddings were there or not."""
    heads = [[p for n, p in prepared(METHOD, sources).named_parameters() if n.startswith("heads.")] for _ in range(2)]
    assert all(torch.equal(a, b) for a, b in zip(*heads, strict=True))
    model = load_model("tiny").train()
    mean = mean_embedding(model, load_tokenizer("tiny"), TASK, draw_sentences(TASK, 4))
    assert model.training and mean.shape == (32,) and 0 < mean.norm() <= 1


def test_a_few_steps_reduce_the_loss(sources: dict[str, Path]) -> None:
    model = prepared(METHOD, sources)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    losses = []
    for _ in range(8):
        loss = model(**INPUTS, labels=torch.tensor([0, 1])).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_tasks_of_another_suite_are_found_where_one_suite_has_all() -> None:
    found = source_tasks(get_task("glue", "rte"), ["mnli", "boolq"])
    assert found == {"mnli": get_task("glue", "mnli"), "boolq": get_task("superglue", "boolq")}
    assert source_tasks(TASK, ["toy_pair"]) == {"toy_pair": TASKS["toy_pair"]}


def test_an_unknown_source_is_refused(sources: dict[str, Path]) -> None:
    sources["toy_pear"] = sources.pop("toy_pair")
    with pytest.raises(UserError, match="Unknown source task for 'toy_topic' 'toy_pear' .did you mean 'toy_pair'"):
        METHOD.prepare(load_model("tiny"), [TASK], sources)


def test_fewer_sources_than_are_averaged_are_refused(sources: dict[str, Path]) -> None:
    with pytest.raises(UserError, match="averages 5 source adapters, but there are only 4; give it more"):
        get_method("adapter_soup").learner().prepare(load_model("tiny"), [TASK], sources)


def test_a_missing_source_is_named(sources: dict[str, Path]) -> None:
    give({name: [1.0] for name in sources}, 16)
    (sources["toy_topic"] / "adapter_config.json").unlink()
    with pytest.raises(UserError, match="Source adapter 'toy_topic' is missing"):
        METHOD.prepare(load_model("tiny"), [TASK], sources)


def test_nothing_similar_is_refused(sources: dict[str, Path]) -> None:
    del sources["toy_topic"]
    give({"toy_topic": [1.0]} | {name: [-1.0] for name in sources}, 16)
    with pytest.raises(UserError, match="None of the source tasks is similar to 'toy_topic'"):
        METHOD.weights(load_model("tiny"), TASK, sources)


@pytest.mark.parametrize("content", [b"", b"not an array", np.zeros(7), np.full(32, np.nan)])
def test_a_damaged_embedding_is_refused(content: bytes | np.ndarray, sources: dict[str, Path]) -> None:
    give({name: [1.0] for name in sources}, 16)
    file = embedding_file(load_model("tiny"), TASK, 16)
    file.write_bytes(content) if isinstance(content, bytes) else np.save(file, content)
    with pytest.raises(UserError, match=r"embedding-toy_topic-16-\w+.npy does not hold 32 finite numbers; delete it"):
        METHOD.weights(load_model("tiny"), TASK, sources)


@pytest.mark.parametrize("options", [{"top_k": 0}, {"sentences": 0}])
def test_numbers_below_one_are_refused(options: dict[str, int]) -> None:
    with pytest.raises(UserError, match="at least 1"):
        get_method("adapter_soup").learner(**options)


def test_official_similarities_are_the_sentence_encoders_with_three_sentences_of_the_target(
    sources: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soup, "SENTENCE_ENCODER", "tiny")
    calls = []

    def noted(model: nn.Module, tokenizer: object, task: Task, sentences: list[str], length: int) -> Tensor:
        calls.append((task.name, len(sentences), length, hasattr(model, "heads")))
        return mean_embedding(model, tokenizer, task, sentences, length)

    monkeypatch.setattr(soup, "mean_embedding", noted)
    official = get_method("adapter_soup").learner(official=True, top_k=4, sentences=16)
    weights = official.weights(load_model("tiny"), TASK, sources)
    assert calls == [(name, 16, 384, False) for name in sources] + [("toy_topic", 3, 384, False)]
    plain, tokenizer = load_model("tiny", plain=True), load_tokenizer("tiny")
    own = mean_embedding(plain, tokenizer, TASK, draw_sentences(TASK, 3), 384)
    found = [
        max(0.0, float(own @ mean_embedding(plain, tokenizer, TASKS[name], draw_sentences(TASKS[name], 16), 384)))
        for name in sources
    ]
    assert list(weights.values()) == pytest.approx([value / sum(found) for value in found])
