"""What the Dockerfile names exists, and .dockerignore keeps none of it out."""

from __future__ import annotations

import fnmatch
import re
import shlex
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
STEPS = [
    line.split(maxsplit=1)
    for line in re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text()).splitlines()
    if line and not line.startswith("#")
]


def steps(kind: str) -> list[str]:
    return [words for step, words in STEPS if step == kind]


def ignored(path: str) -> bool:
    """Whether .dockerignore keeps a path out: the last line that fits decides."""
    out = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        pattern = line.removeprefix("!").removeprefix("**/")
        parents = [path, *map(str, Path(path).parents)]
        if line and not line.startswith("#") and any(fnmatch.fnmatchcase(parent, pattern) for parent in parents):
            out = not line.startswith("!")
    return out


def test_what_is_copied_exists_and_is_let_in() -> None:
    for words in steps("COPY"):
        *sources, _ = [word for word in shlex.split(words) if not word.startswith("--")]
        assert sources
        for source in sources:
            assert (ROOT / source).exists()
            assert not ignored(source)


def test_make_knows_the_targets() -> None:
    targets = re.findall(r"\bmake (\S+)", "\n".join([*steps("RUN"), *steps("CMD")]).replace("recommends make", ""))
    assert targets
    subprocess.run(["make", "-C", ROOT, "--dry-run", *targets], capture_output=True, check=True)


def test_the_image_has_the_tested_python_and_another_user_than_root() -> None:
    (base,) = steps("FROM")
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    assert base.startswith("python:" + environment[0].removeprefix("python=") + "-")
    assert steps("USER") == ["scalearn"]
    assert any("useradd" in words and words.endswith("scalearn") for words in steps("RUN"))


def test_all_tracked_files_but_none_that_are_made_go_into_the_image() -> None:
    tracked = subprocess.run(["git", "-C", ROOT, "ls-files"], capture_output=True, text=True, check=True).stdout
    assert [path for path in tracked.splitlines() if ignored(path)] == []
    for made in (
        ".venv/bin/python",
        "data/offline/nyt.csv",
        "outputs/offline/a.json",
        "scalearn_lib.egg-info/PKG-INFO",
    ):
        assert ignored(made), made
