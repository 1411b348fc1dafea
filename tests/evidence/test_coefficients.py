"""ω of a run as files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import scalearn_lib
from scalearn_lib.cli import main
from scalearn_lib.runs import Run, load_trained


def test_a_picture_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    where = ["--encoder", "tiny", "--budget", "smoke", "--output", str(tmp_path / "out")]
    assert main(["show", "toy", "scalearn", "toy_topic", *where, "--to", str(tmp_path / "shown")]) == 0
    picture, table = map(Path, capsys.readouterr().out.split())
    assert Image.open(picture).size[0] > 300
    frame = pd.read_csv(table)
    model = load_trained(Run("toy", "toy_topic", "scalearn", "tiny", budget="smoke"), tmp_path / "out")
    omega = scalearn_lib.scaling_coefficients(model, "scalearn")
    assert list(frame) == ["layer", "source", "hidden", "omega"] and len(frame) == omega.size
    np.testing.assert_allclose(frame["omega"], omega.to_numpy().ravel(), rtol=1e-6)
    assert main(["show", "toy", "scalearn_init_4", "toy_topic", *where, "--to", str(tmp_path / "shown")]) == 0
    assert main(["show", "toy", "adapter_fusion", "toy_topic", *where]) == 1
    assert "AdapterFusion has no scaling coefficients" in capsys.readouterr().err
