"""Three defects of adapters 1.3 that a ScaLearn block would inherit, repaired when this package is imported."""

from __future__ import annotations

from pathlib import Path

from adapters import AdapterTrainer
from adapters.loading import AdapterFusionLoader
from adapters.trainer import AdapterTrainerCallback
from adapters.utils import ADAPTERFUSION_CONFIG_NAME

# The loader matches a block's name as a prefix: saving or renaming "a,b" would take "a,b,c" along.
AdapterFusionLoader.filter_func = lambda self, name: lambda key: f"adapter_fusion_layer.{name}." in key
AdapterFusionLoader.rename_func = lambda self, old, new: (
    lambda key: key.replace(f"adapter_fusion_layer.{old}.", f"adapter_fusion_layer.{new}.")
)


def _regularize(self: AdapterTrainerCallback, args: object, state: object, control: object, **kwargs: object) -> None:
    """Add the gradient of the fusion penalty, on the same scale as the loss's where fp16 training scales that.

    A trainer with a true attribute `penalty_unscaled` keeps the defect, as the paper's runs had it.
    """
    if self.trainer.train_adapter_fusion:
        penalty = kwargs["model"].base_model.get_fusion_regularization_loss()
        if penalty is not None:
            scaler = self.trainer.accelerator.scaler
            if getattr(self.trainer, "penalty_unscaled", False):
                scaler = None
            (penalty if scaler is None else scaler.scale(penalty)).backward()


def _load_blocks(self: AdapterTrainer, resume_from_checkpoint: str) -> None:
    """Load every block of a checkpoint; adapters looks only for those whose name has a comma in it."""
    for folder in sorted(Path(resume_from_checkpoint).iterdir()):
        if (folder / ADAPTERFUSION_CONFIG_NAME).exists():
            self.model.load_adapter_fusion(str(folder))


AdapterTrainerCallback.on_step_end = _regularize
AdapterTrainer._load_adapter_fusions = _load_blocks
