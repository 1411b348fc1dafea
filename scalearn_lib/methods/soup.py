"""AdapterSoup (Chronopoulou et al., 2023): one adapter averaged from those of the tasks most similar to the target.

Two tasks are as similar as the mean cosine of all pairs of their sentences' embeddings (paper, appendix). With
normalised embeddings that is the dot product of the two mean embeddings, which is all that is computed and kept. An
embedding is the mean of the encoder's last hidden states over a sentence's tokens. The official runs embedded by
`SENTENCE_ENCODER`, and compared the sources with 3 to 5 sentences of the target by mistake, which `official` repeats;
here it is the encoder at hand, and up to 10,000 sentences of each training split.

Reading the sentences needs no labels, but a k-shot target's similarity comes from its whole training split too.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm
from transformers import DataCollatorWithPadding, PreTrainedTokenizerBase

from ..errors import UserError, unknown
from ..paths import output_dir
from ..tasks import SUITES, Task, get_suite
from ..tasks.encoders import load_model, load_tokenizer
from .base import Learner, add_head
from .routing import check_alike
from .sources import load_sources

SEED = 42
"""Of the draw of sentences, the same for every run."""
BATCH = 64
SENTENCE_ENCODER = "sentence-transformers/all-mpnet-base-v2"
"""What the official runs embedded sentences by, at up to `SENTENCE_LENGTH` tokens; `official` needs it at hand."""
SENTENCE_LENGTH = 384
_embeddings: dict[Path, Tensor] = {}  # of this process, by the file that keeps them


class AdapterSoup(Learner):
    """The weighted average of the parameters of `top_k` source adapters; only the head learns: 0 transfer parameters.

    They are those of the tasks most similar to the target, which may but need not be among them, where it is a source.
    Weights are the similarities, negative ones cut to zero, divided by their sum.

    Options:
        top_k: number of adapters that are averaged.
        sentences: sentences per task at most.

    Raises:
        UserError: one of the two is not positive.
    """

    _file: ClassVar[str] = "soup.json"

    @property
    def top_k(self) -> int:
        """Number of adapters that are averaged."""
        return self.options["top_k"]

    @property
    def sentences(self) -> int:
        """Sentences per task at most."""
        return self.options["sentences"]

    @property
    def _length(self) -> int | None:
        """Tokens of a sentence that are read at most; `None`: the task's."""
        return SENTENCE_LENGTH if self.official else None

    def __post_init__(self) -> None:
        if self.top_k < 1 or self.sentences < 1:
            raise UserError(
                f"{self.title} was given top_k {self.top_k} and {self.sentences} sentences; both have to be at least 1."
            )

    def prepare(self, model: nn.Module, tasks: Sequence[Task], sources: Mapping[str, Path]) -> None:
        """See `Learner.prepare`. The averaged adapter stays, its sources are taken off the model.

        Raises:
            UserError: there are fewer sources than `top_k`, a source is no task of the target's suite, is missing or
                unlike the others, or nothing is similar to the target.
        """
        (task,) = tasks
        if len(sources) < self.top_k:
            raise UserError(
                f"{self.title} averages {self.top_k} source adapters, but there are only {len(sources)}; give it more "
                "source tasks."
            )
        weights = self.weights(model, task, sources)
        load_sources(model, {name: sources[name] for name in weights})
        check_alike(model, list(weights))
        model.average_adapter(self.name, list(weights), weights=list(weights.values()), set_active=True)
        for name in weights:
            model.delete_adapter(name)
        model.soup_weights = weights
        add_head(model, task, one_layer=self.official)
        model.base_model.freeze_model(True)  # on the base model, where AdapterTrainer looks for it

    def weights(self, model: nn.Module, task: Task, sources: Mapping[str, Path]) -> dict[str, float]:
        """Return the weights of the adapters to average, by source in the order of `sources`; their sum is 1.

        Args:
            model: the encoder without adapters.
            task: the target.
            sources: folders of the source adapters.
        """
        found = source_tasks(task, list(sources))
        by = load_model(SENTENCE_ENCODER, plain=True) if self.official else model
        means = {name: self._embedding(by, found[name]) for name in sources}
        if self.official and task.suite != "humset":
            # By the number of splits of the target's data set, which was taken for the number of its rows.
            own = self._compute(by, task, 5 if task.name == "mnli" else 3)
        else:
            own = means[task.name] if task.name in means else self._embedding(by, task)
        similarity = {name: max(0.0, float(own @ mean)) for name, mean in means.items()}
        ranked = sorted(sources, key=lambda name: -similarity[name])[: self.top_k]
        total = sum(similarity[name] for name in ranked)
        if total == 0:
            raise UserError(
                f"None of the source tasks is similar to '{task.name}': no mean cosine is above 0; give it other "
                "source tasks."
            )
        return {name: similarity[name] / total for name in sources if name in ranked}

    def _embedding(self, model: nn.Module, task: Task) -> Tensor:
        """The task's mean embedding, `(hidden,)`: from its file, from memory, or computed now."""
        file = embedding_file(model, task, self.sentences, self._length)
        if file.exists():
            return read_embedding(file, model.config.hidden_size)
        if file not in _embeddings:
            _embeddings[file] = self._compute(model, task, self.sentences)
        with suppress(OSError):  # where nothing can be written, the next process computes it again
            write_embedding(file, _embeddings[file])
        return _embeddings[file]

    def _compute(self, model: nn.Module, task: Task, sentences: int) -> Tensor:
        """The mean embedding of at most so many sentences, `(hidden,)`."""
        tokenizer = load_tokenizer(model.name_or_path)
        return mean_embedding(model, tokenizer, task, draw_sentences(task, sentences), self._length)

    def as_adapter(self, model: nn.Module, task: Task) -> str:
        return self.name

    def save(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        """Write the averaged adapter and the head in adapters' own format, and the weights as JSON."""
        model.save_adapter(str(folder), self.name, with_head=False, use_safetensors=True)
        model.save_head(str(folder), tasks[0].name, use_safetensors=True)
        (folder / self._file).write_text(json.dumps(model.soup_weights, indent=1) + "\n")

    def load(self, model: nn.Module, tasks: Sequence[Task], folder: Path) -> None:
        model.load_adapter(str(folder), load_as=self.name, with_head=False, use_safetensors=True, set_active=True)
        model.load_head(str(folder), load_as=tasks[0].name, use_safetensors=True)
        model.base_model.freeze_model(True)
        model.soup_weights = json.loads((folder / self._file).read_text())


def source_tasks(target: Task, names: Sequence[str]) -> dict[str, Task]:
    """Return the tasks of these names in the first suite that has them all and the target, its own before others.

    Raises:
        UserError: no suite has them all.
    """
    for suite in (get_suite(target.suite), *SUITES.values()):
        tasks = {task.name: task for task in suite.tasks}
        if target in suite.tasks and set(names) <= set(tasks):
            return {name: tasks[name] for name in names}
    home = [task.name for task in get_suite(target.suite).tasks]
    raise unknown(f"source task for '{target.name}'", next(name for name in names if name not in home), home)


def draw_sentences(task: Task, limit: int) -> list[str]:
    """Return all texts of the training split, or a fixed draw of `limit` of them; columns are joined by a blank."""
    rows = task.load()["train"]
    if len(rows) > limit:
        rows = rows.shuffle(seed=SEED).select(range(limit))
    return [" ".join(texts) for texts in zip(*(rows[column][:] for column in task.columns), strict=True)]


@torch.inference_mode()
def mean_embedding(
    model: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    task: Task,
    sentences: Sequence[str],
    length: int | None = None,
) -> Tensor:
    """Return the mean of the sentences' normalised embeddings, `(hidden,)`, float64 on the CPU.

    Args:
        model: an encoder without active adapters; it runs on a GPU where there is one, and returns to its device.
        tokenizer: of the encoder.
        task: what is embedded.
        sentences: one or more texts.
        length: tokens of a sentence that are read at most, by default the task's.
    """
    home, training = model.device, model.training
    device = torch.device("cuda") if torch.cuda.is_available() else home
    model.to(device).eval()
    length = min(length or task.max_length, tokenizer.model_max_length)
    encoded = tokenizer(list(sentences), truncation=True, max_length=length)
    order = np.argsort([-len(ids) for ids in encoded["input_ids"]], kind="stable")
    collate = DataCollatorWithPadding(tokenizer)
    total = torch.zeros(model.config.hidden_size, dtype=torch.float64)
    for start in tqdm(range(0, len(order), BATCH), desc=f"embedding {task.name}", leave=False, disable=None):
        rows = order[start : start + BATCH]
        batch = collate([{name: encoded[name][i] for name in encoded} for i in rows]).to(device)
        hidden = model.base_model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        embeddings = (hidden * mask).sum(1) / mask.sum(1)
        total += nn.functional.normalize(embeddings.double(), dim=1).sum(0).cpu()
    model.to(home).train(training)
    return total / len(order)


def fingerprint(model: nn.Module) -> str:
    """Return eight letters that tell encoders apart, from the first 1,000 rows of their word embeddings."""
    rows = model.get_input_embeddings().weight[:1000].detach().float().cpu().contiguous()
    return hashlib.sha256(rows.numpy().tobytes()).hexdigest()[:8]


def embedding_file(model: nn.Module, task: Task, sentences: int, length: int | None = None) -> Path:
    """Return where a task's mean embedding is kept, below the output folder: the name tells all that it follows from.

    Args:
        model: the encoder.
        task: what is embedded.
        sentences: how many at most.
        length: as in `mean_embedding`.
    """
    encoder = (str(Path(model.name_or_path).resolve()), fingerprint(model))
    of = hashlib.sha256(repr((task.suite, task.name, task.content, sentences, length, encoder)).encode())
    return output_dir() / "embeddings" / f"embedding-{task.name}-{sentences}-{of.hexdigest()[:12]}.npy"


def read_embedding(file: Path, hidden: int) -> Tensor:
    """Read what `write_embedding` wrote.

    Raises:
        UserError: the file is damaged.
    """
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        values = None
    if values is None or values.shape != (hidden,) or values.dtype != np.float64 or not np.isfinite(values).all():
        raise UserError(f"{file} does not hold {hidden} finite numbers; delete it, and it is made again.")
    return torch.from_numpy(values)


def write_embedding(file: Path, values: Tensor) -> None:
    """Write an embedding, which appears complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".embedding-", delete=False) as temporary:
        np.save(temporary, values.numpy())
    os.chmod(temporary.name, 0o644)  # as other results: for everyone
    os.replace(temporary.name, file)
