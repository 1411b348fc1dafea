"""Where the hub's files are found: mirror, cache, hub; and filling a mirror folder."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from requests import ConnectionError, Session

from scalearn_lib.errors import UserError
from scalearn_lib.tasks import get_task, hub

from .mirror import write_glue

PATTERNS = ["rte/train-*.parquet", "rte/validation-*.parquet"]
REPO = ("nyu-mll/glue", "dataset", PATTERNS)


class Hub:
    """Stands in for the hub: copies from a folder, as `snapshot_download` would; knows what was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.asked = folder, []
        monkeypatch.setattr("huggingface_hub.snapshot_download", self.download)
        monkeypatch.setattr(
            "huggingface_hub.HfApi.repo_info", lambda *_, **__: type("Info", (), {"sha": "0123456789ab"})
        )
        monkeypatch.setattr(hub, "unreachable", lambda: None)

    def download(
        self, repo, repo_type, local_files_only=False, local_dir=None, allow_patterns=(), revision=None
    ) -> str:
        if local_files_only:
            raise FileNotFoundError("not cached")
        self.asked.append((repo, repo_type, tuple(allow_patterns)))
        if local_dir is None:
            return str(self.folder / repo)
        shutil.copytree(self.folder / repo, local_dir, dirs_exist_ok=True)
        return str(local_dir)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_glue(tmp_path / "hub", "rte")
    return tmp_path / "hub"


@pytest.fixture(autouse=True)
def no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCALEARN_HUB", raising=False)


def test_the_hub_is_read_where_there_is_no_mirror(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Hub(source, monkeypatch).asked
    assert hub.find(*REPO, "Task 'rte'") == source / "nyu-mll/glue"
    assert asked == [("nyu-mll/glue", "dataset", tuple(PATTERNS))]


@pytest.mark.parametrize("name", ["train-{}-of-00002.parquet", "train-{}-of-00002-{}abc.parquet"])
def test_a_broken_download_is_not_taken_for_a_whole_one(tmp_path: Path, name: str) -> None:
    for number in ("00000", "00001"):
        assert hub.missing(tmp_path, ["train*"]) == ["train*"]
        (tmp_path / name.format(number, number)).touch()
    (tmp_path / "train.csv").touch()
    assert hub.missing(tmp_path, ["train*", "model*"]) == ["model*"]


def test_a_mirror_is_taken_before_the_hub(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_HUB", str(source))
    asked = Hub(source / "elsewhere", monkeypatch).asked
    assert hub.find(*REPO, "Task 'rte'") == source / "nyu-mll/glue" and asked == []
    assert get_task("glue", "rte").available() and len(get_task("glue", "rte").load()["test"]) == 8


def test_prefetch_fills_a_mirror_once(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there, mirror = Hub(source, monkeypatch), tmp_path / "mirror"
    assert hub.prefetch([REPO], mirror)[0].startswith("nyu-mll/glue: 2 files at revision 0123456789")
    manifest = json.loads((mirror / "manifest.json").read_text())["nyu-mll/glue"]
    assert manifest["revision"] == "0123456789ab" and len(manifest["files"]) == 2
    assert hub.prefetch([REPO], mirror) == [f"nyu-mll/glue: complete in {mirror / 'nyu-mll/glue'}, 2 files verified"]
    assert len(there.asked) == 1
    file = mirror / "nyu-mll/glue/rte/train-00000-of-00001.parquet"
    file.write_bytes(b"damaged")
    hub.prefetch([REPO], mirror)
    assert len(there.asked) == 2 and hub.sha256(file) == manifest["files"]["rte/train-00000-of-00001.parquet"]


def test_a_mirrored_file_that_differs_from_the_manifest_is_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Hub(source, monkeypatch)
    hub.prefetch([REPO], tmp_path / "mirror")
    (tmp_path / "mirror/nyu-mll/glue/rte/train-00000-of-00001.parquet").write_bytes(b"damaged")
    monkeypatch.setenv("SCALEARN_HUB", str(tmp_path / "mirror"))
    with pytest.raises(UserError, match="train-.*differs from its checksum in manifest.json; run `scalearn prefetch`"):
        hub.find(*REPO, "Task 'rte'")


@pytest.mark.parametrize(
    "content",
    [b"{", b"[]", b"null", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": 1}', b'{"a": {}}', b'{"a": {"files": []}}'],
)
def test_a_damaged_manifest_of_a_mirror_is_named(content: bytes, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source / "manifest.json").write_bytes(content)
    monkeypatch.setenv("SCALEARN_HUB", str(source))
    with pytest.raises(UserError, match="manifest.json is damaged; remove it and run `scalearn prefetch` again"):
        hub.find(*REPO, "Task 'rte'")


def test_what_the_hub_lacks_is_named(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Hub(source, monkeypatch)
    with pytest.raises(
        UserError, match=r"Task 'cola' needs cola/\*.parquet .* no mirror folder is named, and the hub's"
    ):
        hub.find("nyu-mll/glue", "dataset", ["cola/*.parquet"], "Task 'cola'")
    with pytest.raises(UserError, match=r"The hub's 'nyu-mll/glue' has no cola/\*.parquet"):
        hub.prefetch([("nyu-mll/glue", "dataset", ["cola/*.parquet"])], tmp_path / "mirror")


def test_offline_and_out_of_reach_are_told_apart_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    hub.unreachable.cache_clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE forbids asking.*`scalearn prefetch`.*--hub or SCALEARN_HUB"):
        hub.find(*REPO, "Task 'rte'")
    assert not get_task("glue", "rte").available()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)

    def refused(self: Session, url: str, timeout: float) -> None:
        assert timeout <= 5
        raise ConnectionError("no route")

    monkeypatch.setattr(Session, "head", refused)
    hub.unreachable.cache_clear()
    started = time.monotonic()
    with pytest.raises(UserError, match="the hub cannot be reached") as error:
        hub.find(*REPO, "Task 'rte'")
    assert time.monotonic() - started < 5 and "\n" not in str(error.value)
    with pytest.raises(UserError, match="'nyu-mll/glue' cannot be downloaded: the hub cannot be reached"):
        hub.prefetch([REPO], Path("unused"))
    hub.unreachable.cache_clear()


@pytest.mark.parametrize(("status", "reachable"), [(200, True), (404, True), (403, False), (407, False), (502, False)])
def test_a_proxy_that_refuses_is_not_the_hub(status: int, reachable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(Session, "head", lambda *_, **__: SimpleNamespace(status_code=status))
    hub.unreachable.cache_clear()
    assert (hub.unreachable() is None) == reachable
    hub.unreachable.cache_clear()


def test_a_mirror_folder_must_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCALEARN_HUB", "/no/such/mirror")
    with pytest.raises(UserError, match="The mirror folder /no/such/mirror does not exist; name one with --hub"):
        hub.find(*REPO, "Task 'rte'")
