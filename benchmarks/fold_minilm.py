"""Is a folded block exact on a real encoder with trained ω, and does it need nothing of this package?

    .venv/bin/python benchmarks/fold_minilm.py

Takes a trained ScaLearn run of the demo (made first if it is missing), folds it, saves the folded adapter, loads it
in a second process that imports adapters alone, and compares the logits on the first 256 test texts in float32.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

import scalearn_lib
from scalearn_lib import ScaLearn
from scalearn_lib.runs import Run, load_trained
from scalearn_lib.tasks import get_task
from scalearn_lib.tasks.encoders import encoder_dir, load_tokenizer

ADAPTERS_ALONE = """
import sys, torch
from adapters import AutoAdapterModel
from safetensors.torch import load_file, save_file
encoder, folder = sys.argv[1:]
model = AutoAdapterModel.from_pretrained(encoder, local_files_only=True)
name = model.load_adapter(folder + "/folded", use_safetensors=True, set_active=True)
model.active_head = name
model.eval()
with torch.no_grad():
    save_file({"logits": model(**load_file(folder + "/inputs.safetensors")).logits}, folder + "/logits.safetensors")
print("scalearn_lib imported:", "scalearn_lib" in sys.modules)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", default="nyt")
    parser.add_argument("--method", default="scalearn")
    arguments = parser.parse_args()

    task = get_task("offline", arguments.task)
    run = Run("offline", arguments.task, arguments.method)
    model = load_trained(run)
    texts = task.load()["test"][:256]
    columns = [texts[column] for column in task.columns]
    inputs = dict(
        load_tokenizer("minilm")(*columns, padding=True, truncation=True, max_length=128, return_tensors="pt")
    )
    setup = ScaLearn(*run.sources(), name=arguments.method)
    with torch.no_grad(), tempfile.TemporaryDirectory() as folder:
        unfolded = model(**inputs).logits
        scalearn_lib.fold(model, setup, "folded")
        model.add_classification_head("folded", num_labels=task.num_labels, layers=2)
        model.heads["folded"].load_state_dict(model.heads[task.name].state_dict())
        model.save_adapter(f"{folder}/folded", "folded", with_head=True, use_safetensors=True)
        save_file(inputs, f"{folder}/inputs.safetensors")
        command = [sys.executable, "-c", ADAPTERS_ALONE, str(encoder_dir("minilm")), folder]
        print(subprocess.run(command, check=True, capture_output=True, text=True, cwd=folder).stdout.strip())
        folded = load_file(Path(folder) / "logits.safetensors")["logits"]
    print(f"{run}: logits of size up to {unfolded.abs().max():.2f}")
    print(f"largest difference of folded and unfolded logits: {(folded - unfolded).abs().max():.1e}")


if __name__ == "__main__":
    main()
