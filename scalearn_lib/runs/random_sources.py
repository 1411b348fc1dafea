"""Sources that know nothing: adapters of random values."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from ..methods.sources import CONFIG
from .locks import sole_maker
from .result import checksums, fingerprint, new_folder


def random_sources(like: Path, count: int, place: Path) -> dict[str, Path]:
    """Return the folders of `count` random adapters by name, the same ones in every call; they are written if need be.

    Each tensor has normal values with the root mean square of the trained one's, so outputs are about as large.

    Args:
        like: folder of a trained adapter, whose shape and configuration they have.
        count: how many.
        place: folder that they are written below.
    """
    kept = {name: digest for name, digest in checksums(like).items() if "head" not in name}
    folders = {f"random_{seed}": place / fingerprint(kept) / f"random_{seed}" for seed in range(1, count + 1)}
    for seed, folder in enumerate(folders.values(), start=1):
        if folder.exists():
            continue
        with sole_maker(folder):
            if not folder.exists():  # another process may have made it meanwhile
                _make(folder, seed, like, [name for name in kept if name.endswith(".safetensors")])
    return folders


def _make(folder: Path, seed: int, like: Path, weights: Iterable[str]) -> None:
    """Write one random adapter like the trained one, whose files of weights are named."""
    with new_folder(folder) as temporary:
        shutil.copy(like / CONFIG, temporary)
        generator = torch.Generator().manual_seed(seed)
        for file in weights:
            values = {
                name: torch.randn(tensor.shape, generator=generator) * tensor.float().square().mean().sqrt()
                for name, tensor in sorted(load_file(like / file).items())
            }
            save_file(values, temporary / file)
