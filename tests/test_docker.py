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


def test_what_is_written_goes_into_the_image_and_what_is_made_does_not() -> None:
    for pattern in (
        "*.md",
        "docs/**/*.*",
        "studies/*",
        "tests/**/*.py",
        "outputs/reference/**/*.*",
        "notebooks/*.ipynb",
    ):
        written = [path.relative_to(ROOT).as_posix() for path in ROOT.glob(pattern) if "__pycache__" not in path.parts]
        assert written
        assert [path for path in written if ignored(path)] == []
    assert not ignored("data/README.md")
    for made in (".venv/bin/python", "data/nyt.csv", "outputs/offline/a.json", "scalearn_lib.egg-info/PKG-INFO"):
        assert ignored(made), made
