"""The scaling coefficients that a run learned, as a picture and as a table."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt

from ..composition import ScaLearn, scaling_coefficients
from ..errors import UserError
from ..methods import get_method
from ..methods.fusion import ScaLearn as ScaLearnLearner
from ..runs import Run, load_trained
from ..runs.run import slug
from .figures import omega_heatmap, use_style


def save_omega(run: Run, output: Path, folder: Path) -> list[Path]:
    """Write ω of a run as it applies in evaluation; the run is made first if need be.

    Args:
        run: a run of ScaLearn or a variant of it.
        output: where results lie.
        folder: where the files go.

    Returns:
        The picture, with means over the hidden dimension, and the CSV file: `layer`, `source`, `hidden`, `omega`.

    Raises:
        UserError: the method has no scaling coefficients, or the folder cannot be written.
    """
    method = get_method(run.method)
    if not isinstance(method.learner(), ScaLearnLearner):
        raise UserError(f"{method.title} has no scaling coefficients; take a variant of {ScaLearn.__name__}.")
    omega = scaling_coefficients(load_trained(run, output), run.method)
    name = f"omega-{slug(run.folder(Path()).as_posix())}"
    use_style()
    figure = omega_heatmap(omega, f"{method.title} on {run.task}: what each source counts")
    picture, table = (folder / f"{name}.{ending}" for ending in ("png", "csv"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(picture, bbox_inches="tight")
        omega.to_series().dropna().to_csv(table)
    except OSError as error:
        raise UserError(f"Cannot write to {folder}: {error.strerror}; name another folder.") from error
    finally:
        plt.close(figure)
    return [picture, table]
