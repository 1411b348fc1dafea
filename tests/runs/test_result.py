"""Results are what their model says, and nothing that lies in their place is taken for one."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from scalearn_lib.evidence import load_results
from scalearn_lib.runs import Run
from scalearn_lib.runs.result import RESULT, Failure, Result, read_result
from tests.stored import store

SCALEARN = Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke", overrides={"max_steps": 3})


def test_a_result_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = store(tmp_path, "toy_topic", "scalearn", 0, 0.5, overrides={"max_steps": 3})
    result = read_result(folder)
    assert isinstance(result, Result) and result.run == SCALEARN and result.settings == SCALEARN.settings()
    assert result.score == 0.5 and result.of_task("toy_topic") is result
    failed = read_result(store(tmp_path, "toy_pair", "scalearn", 0, 0.5, status="failed"))
    assert isinstance(failed, Failure) and failed.error == "loss is nan"
    assert read_result(tmp_path) is None


def test_the_result_of_another_run_is_not_counted(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    folder.with_name("seed1").mkdir()
    (folder.with_name("seed1") / RESULT).write_bytes((folder / RESULT).read_bytes())
    with pytest.raises(ValueError, match="is the result of another run, toy/toy_topic scalearn seed 0"):
        read_result(folder.with_name("seed1"))
    assert len(load_results(tmp_path)) == 1
    load_results(tmp_path)
    assert capsys.readouterr().err.count("Left out") == 1  # said once


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"test": {"loss": 1.0}}, "lack the metric 'accuracy'"),
        ({"steps": "4"}, "steps: .*integer"),
        ({"threads": None}, "threads: .*integer"),
        ({"run": {"suite": "toy"}}, "run.task: .*required"),
        ({"more": 1}, "more: Extra inputs"),
        ({"status": "done"}, "status|tag"),
        ({"validation": {"accuracy": float("nan")}}, "validation.accuracy: .*finite"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, object], reason: str, tmp_path: Path) -> None:
    folder = store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    stored = json.loads((folder / RESULT).read_text())
    (folder / RESULT).write_text(json.dumps(stored | change))
    with pytest.raises(ValueError, match=f"is no complete result .*{reason}"):
        read_result(folder)


def test_a_method_or_task_that_is_gone_is_named(tmp_path: Path) -> None:
    folder = store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    (folder / RESULT).write_text((folder / RESULT).read_text().replace('"scalearn"', '"scalern"'))
    with pytest.raises(ValueError, match="Unknown method 'scalern' .did you mean"):
        read_result(folder)


def mutated(text: bytes, random: random.Random) -> bytes:
    """A result with one thing wrong: bytes flipped, cut or doubled, a value or a key of another kind."""
    kind = random.randrange(5)
    if kind == 0:
        place = random.randrange(len(text))
        return text[:place] + bytes([text[place] ^ 1 << random.randrange(8)]) + text[place + 1 :]
    if kind == 1:
        return text[: random.randrange(len(text))]
    if kind == 2:
        return b"[" * 100_000 + text
    content = json.loads(text)
    part = content
    while isinstance(part, dict) and part:  # walk down to some place
        key = random.choice(list(part))
        if not isinstance(part[key], dict) or random.random() < 0.4:
            if kind == 3:
                part[key] = random.choice([None, [], {}, "x", -1, 1e999, True, [[1]], {"a": {}}])
            else:
                part[random.choice(["x", "", key.upper()])] = part.pop(key)
            break
        part = part[key]
    return json.dumps(content).encode()


def test_no_damage_ends_in_anything_but_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    folder = store(tmp_path, "toy_topic", "scalearn", 0, 0.5)
    text, random_ = (folder / RESULT).read_bytes(), random.Random(0)
    refused = 0
    for _ in range(300):
        (folder / RESULT).write_bytes(mutated(text, random_))
        try:
            assert read_result(folder) is not None
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
        load_results(tmp_path)
    assert refused > 200  # a flipped bit within a text or number may still be a result
