"""Study files: what they stand for, and errors that name the line."""

from __future__ import annotations

import random
import re
from collections import Counter
from pathlib import Path

import pytest

from scalearn_lib.errors import UserError
from scalearn_lib.evidence.verdicts.claim_list import CLAIMS
from scalearn_lib.grids.studyfile import Study, read_study
from scalearn_lib.methods import get_method
from scalearn_lib.probing.pairs import Probe
from scalearn_lib.runs import Run

ROOT = Path(__file__).parents[2]
MUTATIONS = 17  # of each of the nine files
HEAD = "suite: toy\nencoder: tiny\nbudget: smoke\n"


def read(tmp_path: Path, text: str) -> Study:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    return read_study(file)


OURS = ("reference", "beyond")
"""Studies of ours, which the paper does not have."""


def test_a_study_is_all_methods_targets_and_seeds(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + "methods: [adapter, scalearn]\ntargets: [toy_pair, toy_topic]\nseeds: [0, 3]\n")
    runs = [
        Run("toy", t, m, "tiny", s, budget="smoke")
        for m in ("adapter", "scalearn")
        for t in ("toy_pair", "toy_topic")
        for s in (0, 3)
    ]
    assert (study.name, study.runs, study.probes) == ("mine", tuple(runs), ())
    assert (study.runs_per_job, study.hours_per_job) == (10, 4.0)


def test_the_papers_seeds_depend_on_task_method_and_k(tmp_path: Path) -> None:
    text = "suite: glue\nencoder: roberta-base\nbudget: paper\nmethods: [ia3, full_m]\ntargets: [mnli, rte]\n"
    seeds = Counter((run.method, run.task) for run in read(tmp_path, text).runs)
    assert seeds == {("ia3", "mnli"): 3, ("ia3", "rte"): 10, ("full_m", "mnli"): 3}
    few = read(tmp_path, text.replace("ia3, full_m", "ia3") + "k: [4, 16]\n").runs
    assert Counter((run.task, run.k) for run in few) == {(t, k): 5 for t in ("mnli", "rte") for k in (4, 16)}


def test_a_joint_method_is_one_run_per_seed_whatever_the_targets(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + "methods: adapter_m\nseeds: [0, 1]\nsources: [toy_pair, toy_score]\n")
    assert [(run.seed, run.source_tasks) for run in study.runs] == [(s, ("toy_pair", "toy_score")) for s in (0, 1)]


def test_a_joint_run_is_one_whatever_the_order_of_its_tasks(tmp_path: Path) -> None:
    entry = "  - {methods: adapter_m, seeds: [0], sources: "
    text = HEAD + f"grids:\n{entry}[toy_pair, toy_score]}}\n{entry}[toy_score, toy_pair]}}\n"
    assert len(read(tmp_path, text).runs) == 1


def test_entries_of_grids_change_what_stands_above_them(tmp_path: Path) -> None:
    text = (
        HEAD
        + "methods: [adapter]\nseeds: [0]\ntargets: [toy_pair]\ngrids:\n  - {k: 4}\n  - {settings: {max_steps: 2}}\n"
    )
    few, short = read(tmp_path, text).runs
    assert (few.k, few.overrides) == (4, ())
    assert (short.k, short.overrides) == (None, (("max_steps", 2),))


def test_probing_is_a_probe_per_target_but_the_partner(tmp_path: Path) -> None:
    study = read(tmp_path, HEAD + "probing: {partner: toy_pair, grid: [0, 1], heads: [0]}\n")
    assert study.runs == ()
    assert study.probes[0] == Probe("toy", "toy_topic", "toy_pair", "tiny", "smoke", (0.0, 1.0), (0,))
    assert [probe.target for probe in study.probes] == ["toy_topic", "toy_score", "toy_polarity"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "suite: toi\nencoder: tiny\nbudget: smoke\nmethods: [full]\n",
            "line 1: 'suite' is wrong: Unknown suite 'toi'",
        ),
        (
            HEAD + "methods: [full, scalern]\n",
            "line 4: 'methods' is wrong: Unknown method 'scalern' (did you mean 'scalearn'?)",
        ),
        (HEAD.replace("smoke", "smok") + "methods: [full]\n", "line 3: 'budget' is wrong: Unknown budget 'smok'"),
        (HEAD + "metods: [full]\n", "line 4: 'metods' is no key here: Unknown key 'metods' (did you mean 'methods'?)"),
        (HEAD + "methods: [full]\ntargets: [rte]\n", "line 5: 'targets' is wrong: Unknown task 'rte'"),
        (HEAD + "methods: [full]\nseeds: [0, 0]\n", "line 5: 'seeds' names something twice: 0, 0"),
        (
            HEAD + "methods: [full]\nseeds: papers\n",
            "line 5: 'seeds' must be 'paper' or a list of whole numbers",
        ),
        (HEAD + "methods: [full]\nseeds: []\n", "line 5: 'seeds' should have at least 1 item, got []"),
        (HEAD + "methods: []\n", "line 4: 'methods' should have at least 1 item"),
        (HEAD + "methods: [full, full]\n", "line 4: 'methods' names something twice"),
        (HEAD + "methods: [full]\nk: 0\n", "line 5: 'k' should be greater than or equal to 1"),
        (HEAD + "methods: [full_m]\nk: 4\n", "line 4: 'methods' is wrong: full-m trains all tasks at once"),
        (HEAD + "methods: [full]\nsampling: offical\n", "line 5: 'sampling' is wrong: Unknown sampling"),
        (
            HEAD + "methods: [full]\nsettings: {max_step: 3}\n",
            "line 5: 'settings' is wrong: Unknown setting 'max_step'",
        ),
        (HEAD + "methods: [full]\nsettings: {learning_rate: 5e-5}\n", "learning_rate must be positive, got '5e-5'"),
        (HEAD + "methods: [full]\nsettings: 3\n", "line 5: 'settings' should be a valid dictionary"),
        (HEAD, "line 1: needs either the key 'methods' or the key 'probing'"),
        ("suite: toy\nbudget: smoke\nmethods: [full]\n", "line 1: needs the key 'encoder'"),
        (HEAD + "methods: [full]\nsuite: glue\n", "line 5: 'suite' stands twice"),
        (HEAD + "methods: [full]\ngrids:\n  - k: 4\n  - kk: 4\n", "line 7: 'kk' is no key here"),
        (HEAD + "methods: [full]\ngrids: []\n", "line 5: 'grids' should have at least 1 item"),
        (
            HEAD + "methods: [full]\nruns_per_job: 0\n",
            "line 5: 'runs_per_job' should be greater than or equal to 1",
        ),
        (
            HEAD + "methods: [full]\nhours_per_job: long\n",
            "line 5: 'hours_per_job' should be a valid number",
        ),
        (HEAD + "methods: [full]\nresources:\n  sources: {runtime: 3}\n", "line 6: 'sources' is no key here"),
        (HEAD + "methods: [full]\nresources:\n  source: 3\n", "line 6: 'source' should be a valid dictionary, got 3"),
        (HEAD + "probing: {grid: [0]}\n", "line 4: 'probing' needs the key 'partner'"),
        (HEAD + "probing: {partner: toy_pair, grid: [a]}\n", "line 4: 'grid' should be a valid number, got 'a'"),
        (HEAD + "probing: {partner: toy_pair}\nseeds: [0]\n", "line 5: 'seeds' does not go with 'probing'"),
        ("- suite\n", "line 1: must hold keys and values"),
        ("suite: [a, b]\nencoder: tiny\nbudget: smoke\nmethods: [full]\n", "line 1: 'suite' should be a valid string"),
        (
            "suite: toy\nencoder: ..\nbudget: smoke\nmethods: [full]\n",
            "line 2: 'encoder' is wrong: '..' names no encoder",
        ),
        (HEAD + "methods: [full]\nsettings: {max_steps: null}\n", "max_steps must be a whole number"),
        (HEAD + "methods: [full]\nsettings: {patience: true}\n", "patience must be a whole number"),
        (HEAD + "methods: [full]\nsettings: {learning_rate: .inf}\n", "learning_rate must be positive"),
        (HEAD + "methods: [full]\nseeds: [!!int '']\n", "has a value that cannot be read"),
        (
            HEAD + "methods: [full]\nsettings: {1: 2, max_steps: 3}\n",
            "line 5: 'settings' should be a valid string",
        ),
        (HEAD + "methods: [full]\nresources: {single: {threads: many}}\n", "'single' must hold resources such as"),
        (HEAD + "methods: [full]\nresources: {single: {runtime: -1}}\n", "'single' must hold resources such as"),
        (HEAD + "methods: [full]\nhours_per_job: 1" + "0" * 400 + "\n", "'hours_per_job' should be a valid number"),
        (HEAD + "methods: [full]\nabout: 2020-13-45\n", "has a value that cannot be read"),
        (HEAD + "methods: [full]\nabout: &a [*a]\n", "has a value that cannot be read"),
        (HEAD + "probing: {partner: toy_pair, grid: [.nan, 1]}\n", "'grid' should be a finite number, got nan"),
        (HEAD + "probing: {partner: toy_pair}\ntargets: [toy_pair]\n", "asks for nothing"),
        (
            HEAD + "grids:\n  - probing: {partner: toy_pair}\n  - probing: {partner: toy_pair, heads: [0]}\n",
            "twice, with different strengths or heads",
        ),
        ("", "must hold keys and values"),
        ("suite: [toy\n", "this is no YAML"),
        ("suite: !!python/object/apply:os.getcwd []\n", "this is no YAML"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_key(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert message in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("name", sorted(file.stem for file in (ROOT / "studies").glob("*.yaml")))
def test_a_damaged_study_is_read_or_refused_with_one_sentence(name: str, tmp_path: Path) -> None:
    """Any other error than a `UserError` fails the test."""
    whole, draw = (ROOT / "studies" / f"{name}.yaml").read_bytes(), random.Random(name)
    refused = sum(is_refused(tmp_path / "mine.yaml", mutated(whole, draw)) for _ in range(MUTATIONS))
    assert refused > MUTATIONS / 4


def is_refused(file: Path, content: bytes) -> bool:
    file.write_bytes(content)
    try:
        read_study(file)
    except UserError as error:
        assert "\n" not in str(error)
        return True
    return False


WILD = [
    "null",
    "true",
    "-1",
    "0",
    "1.5",
    ".nan",
    "0x" + "f" * 5000,
    "[]",
    "{}",
    "[[1]]",
    "{a: {b: [1]}}",
    "'\\0'",
    "all",
    "2020-01-01",
]
"""Values of other types, written as YAML."""


def mutated(content: bytes, draw: random.Random) -> bytes:
    """One study file with one byte, line, key or value changed."""
    if draw.random() < 0.4:
        at = draw.randrange(len(content))
        return draw.choice([content[:at], content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :]])
    lines = content.decode().splitlines()
    at = draw.choice([number for number, line in enumerate(lines) if not line.startswith("#")])
    key, colon, value = lines[at].partition(":")
    other = draw.choice(lines)
    changes = [key + colon + " " + draw.choice(WILD), draw.choice(WILD) + colon + value, "  " + lines[at], other, ""]
    lines[at] = draw.choice([*changes, lines[at].replace("[", "{"), lines[at] + "\n" + other])
    return "\n".join(lines).encode()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")


def test_the_papers_studies_have_the_papers_seeds_and_tasks() -> None:
    """GLUE: ten seeds of four small tasks and three of four large ones, three of each joint method."""
    alone, transfer, joint = 5, 6, 5
    counts = {}
    for file in sorted(file for file in (ROOT / "studies").glob("*.yaml") if file.stem not in OURS):
        study = read_study(file)
        counts[file.stem] = (len(study.runs), len(study.probes))
    glue, superglue, gsg = 4 * 3 + 4 * 10, 2 * 3 + 6 * 10, 6 * 3 + 9 * 10
    few = 5 * 4 * 6
    assert counts == {
        "glue_base": ((alone + transfer) * glue + joint * 3, 0),
        "glue_large": ((alone + transfer) * glue + joint * 3, 0),
        "superglue": (2 * ((alone + transfer) * superglue + joint * 3), 0),
        "gsg": ((alone + transfer) * gsg + joint * 3, 0),
        "humset": (2 * ((alone + transfer) * 5 * 3 + joint * 3), 0),
        "few_shot": (few * (8 + 8 + 5), 0),
        "ablations": (7 * (glue + superglue) + 4 * 2 * 8 * 3, 0),
        "probing": (0, 10),
        "offline": (9 + 9 * 5, 0),
    }


def test_our_studies_ask_for_two_seeds_of_whatever_a_claim_compares() -> None:
    asked = {run for name in OURS for run in read_study(ROOT / "studies" / f"{name}.yaml").runs if not run.overrides}
    there = Counter((run.suite, run.method, run.task, run.k) for run in asked)
    runs = [claim for claim in CLAIMS if claim.about == "runs" and "lora" not in claim.method]
    compared = {(method, claim.k) for claim in runs for method in (claim.method, claim.other)}
    for method, k in compared:
        seeds = [n for (suite, name, _, shots), n in there.items() if (suite, name, shots) == ("offline", method, k)]
        assert sum(n >= 2 for n in seeds) >= (1 if get_method(method).joint else 3), (method, k)


def test_the_study_of_the_docs_can_be_read(tmp_path: Path) -> None:
    text = (Path(__file__).parents[2] / "docs" / "batch.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    (tmp_path / "example.yaml").write_text(example)
    study = read_study(tmp_path / "example.yaml")
    assert {run.suite for run in study.runs} == {"glue", "superglue"} and study.runs_per_job == 10
