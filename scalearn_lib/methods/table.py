"""Everything that is compared, by name. A new method is one class, or a further row here."""

from __future__ import annotations

from ..errors import unknown
from .method import Method

_HERE = "scalearn_lib.methods"

_FEW_ON_RECORD = {"record": 3}

# Published learning rate and patience of all variants of ScaLearn; equal budgets are a matter of overrides.
_SCALEARN = {
    "learning_rate": 6e-3,
    "made_by": f"{_HERE}.fusion:ScaLearn",
    "patience": 30,
    "epochs": _FEW_ON_RECORD,
    "source_method": "adapter",
}
_ROUTING = _SCALEARN | {"made_by": f"{_HERE}.routing:Routing"}  # not published: on equal terms with ScaLearn
_SCALEARN_LORA = _SCALEARN | {"source_method": "lora"}
_JOINT = {"patience": 10, "joint": True}

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        Method(
            "full",
            "full fine-tuning",
            "All parameters of the encoder and a head.",
            learning_rate=2e-5,
            made_by=f"{_HERE}.single:FullFineTuning",
        ),
        Method(
            "adapter",
            "adapter",
            'One sequential bottleneck ("Pfeiffer") adapter, reduction factor 16: stage 1, and the paper\'s baseline.',
            learning_rate=3e-4,
            made_by=f"{_HERE}.single:SingleAdapter",
            options={"config": "seq_bn"},
        ),
        Method(
            "propetl",
            "ProPETL",
            "A prototype adapter shared by all layers, and a mask per layer.",
            learning_rate=1e-3,
            made_by=f"{_HERE}.propetl:ProPETL",
            weight_decay=0.1,
            rate_factors={"mask": 5.0},
            options={"sparsity": 0.5},
        ),
        Method(
            "compacter",
            "Compacter++",
            "A bottleneck adapter whose weights are sums of Kronecker products (Mahabadi et al., 2021), after the FFN.",
            learning_rate=3e-3,
            made_by=f"{_HERE}.single:Compacter",
            options={"config": "compacter++"},
        ),
        Method(
            "ia3",
            "(IA)³",
            "Factors on keys, values and the FFN's intermediate layer (Liu et al., 2022), 1 at first.",
            learning_rate=5e-3,
            made_by=f"{_HERE}.single:SingleAdapter",
            epochs=_FEW_ON_RECORD,
            options={"config": "ia3"},
        ),
        Method(
            "full_m",
            "full-m",
            "All parameters of the encoder, shared by all tasks; `activate` chooses the head.",
            learning_rate=2e-5,
            made_by=f"{_HERE}.multitask:FullMultiTask",
            **_JOINT,
        ),
        Method(
            "adapter_m",
            "adapter-m",
            "One bottleneck adapter with reduction factor 16, shared by all tasks; `activate` chooses the head.",
            learning_rate=3e-4,
            made_by=f"{_HERE}.multitask:AdapterMultiTask",
            **_JOINT,
        ),
        Method(
            "propetl_m",
            "ProPETL-m",
            "ProPETL for all tasks at once: a mask per task, the same in all layers, combined with each layer's mask.",
            learning_rate=3e-4,
            made_by=f"{_HERE}.propetl:ProPETLMultiTask",
            rate_factors={"mask": 10.0},
            options={"sparsity": 0.3, "combine": "or"},
            **_JOINT,
        ),
        Method(
            "hyperformer",
            "HyperFormer",
            "A generator of adapters for each layer; `activate` chooses head and embedding.",
            learning_rate=3e-4,
            made_by=f"{_HERE}.hyperformer:HyperFormer",
            options={"shared_generator": False},
            **_JOINT,
        ),
        Method(
            "hyperformer_pp",
            "HyperFormer++",
            "One generator for all layers; what it reads comes from the task's and the layer's embedding.",
            learning_rate=3e-4,
            made_by=f"{_HERE}.hyperformer:HyperFormer",
            options={"shared_generator": True},
            **_JOINT,
        ),
        Method(
            "adapter_fusion",
            "AdapterFusion",
            'Attention over the outputs of the source adapters (Pfeiffer et al., 2021), in adapters\' "dynamic" form.',
            learning_rate=5e-5,
            made_by=f"{_HERE}.fusion:AdapterFusion",
            epochs=_FEW_ON_RECORD,
            source_method="adapter",
        ),
        Method(
            "adapter_soup",
            "AdapterSoup",
            "The weighted average of the most similar source adapters' parameters; only the head learns.",
            learning_rate=3e-4,
            made_by=f"{_HERE}.soup:AdapterSoup",
            patience_by_suite={"humset": 3},
            epochs=_FEW_ON_RECORD,
            source_method="adapter",
            needs_texts=True,
            options={"top_k": 5, "sentences": 10_000},
        ),
        Method(
            "polytropon",
            "Polytropon",
            "A logit per source and layer (Ponti et al., 2023).",
            options={"heads": 1},
            **_ROUTING,
        ),
        Method(
            "multi_head_routing",
            "Multi-Head Routing",
            "A logit per source, layer and block of the hidden width (Caccia et al., 2023).",
            options={"heads": 8},
            **_ROUTING,
        ),
        # Variants of ScaLearn have the names of their configurations in composition/config.py.
        *(
            Method(name, title, about, **_SCALEARN)
            for name, title, about in (
                ("scalearn", "ScaLearn", "A vector of coefficients per source and layer."),
                ("scalearn_uniform", "ScaLearnUniform", "A scalar per source and layer."),
                ("scalearn_pp", "ScaLearn++", "A vector per source, shared by all layers."),
                ("scalearn_uniform_pp", "ScaLearnUniform++", "A scalar per source, shared by all layers."),
                ("scalearn_mean", "ScaLearn, mean", "Ablation: vectors divided by their sum over sources, no dropout."),
                ("scalearn_softmax", "ScaLearn, softmax", "Ablation: softmax of the vectors over sources, no dropout."),
                ("scalearn_init_1", "ScaLearn, init 1/T", "Ablation: vectors that start at 1/T instead of 2/T."),
                ("scalearn_no_dropout", "ScaLearn, no dropout", "Ablation: vectors without dropout."),
                (
                    "scalearn_penalty_0_1",
                    "ScaLearn, λ 0.1",
                    "Ablation: means of the vectors pulled to 1, λ = 0.1.",
                ),
                ("scalearn_penalty_0_01", "ScaLearn, λ 0.01", "Ablation: the same with λ = 0.01."),
            )
        ),
        # Beyond the paper: where ω starts, and a continuum from scalars to attention.
        *(
            Method(
                f"{variant}_from_target",
                f"{title} from target",
                "Coefficients that start at 1 for the target's own source, at 0 for the others.",
                options={"variant": variant},
                **_SCALEARN | {"made_by": f"{_HERE}.beyond:FromTarget"},
            )
            for variant, title in (("scalearn", "ScaLearn"), ("scalearn_uniform_pp", "ScaLearnUniform++"))
        ),
        *(
            Method(
                f"scalearn_init_{scale}",
                f"ScaLearn, init {scale}/T",
                f"Vectors that start at {scale}/T instead of 2/T.",
                options={"scale": float(scale)},
                **_SCALEARN | {"made_by": f"{_HERE}.start:ScaledStart"},
            )
            for scale in (4, 8)
        ),
        *(
            Method(
                f"scalearn_blocks_{blocks}",
                f"ScaLearn, {blocks} blocks",
                f"A scalar per source, layer and block of the hidden width, of {blocks}.",
                options={"blocks": blocks},
                **_SCALEARN | {"made_by": f"{_HERE}.beyond:Blocks"},
            )
            for blocks in (2, 8, 32)
        ),
        Method(
            "scalearn_low_rank",
            "ScaLearn, low rank",
            "A vector per source and layer, and a linear map of rank 4 on the source's output.",
            options={"rank": 4},
            **_SCALEARN | {"made_by": f"{_HERE}.beyond:ScaLearnLowRank"},
        ),
        # Beyond the paper: sources that are LoRAs.
        Method(
            "lora",
            "LoRA",
            "One LoRA of rank 8 and alpha 16 on query and value (Hu et al., 2022): stage 1 of the methods below.",
            learning_rate=5e-4,  # Hu et al. (2022), table 9: RoBERTa-base on MNLI, SST-2, QQP and RTE
            made_by=f"{_HERE}.single:SingleAdapter",
            options={"config": "lora", "r": 8, "alpha": 16, "attn_matrices": ["q", "v"]},
        ),
        Method(
            "lorahub",
            "LoraHub",
            "One weight per source LoRA, found without gradients (Huang et al., 2023).",
            learning_rate=6e-3,  # of the head: ScaLearn's
            made_by=f"{_HERE}.lorahub:LoraHub",
            patience=30,
            source_method="lora",
            searched=True,
            options={"evaluations": 40, "bound": 1.5, "penalty": 0.05, "examples": 100},
        ),
        *(
            Method(name, title, about, options={"variant": name.removesuffix("_lora")}, **_SCALEARN_LORA)
            for name, title, about in (
                ("scalearn_lora", "ScaLearn over LoRA", "A vector per source LoRA and linear map."),
                ("scalearn_uniform_lora", "ScaLearnUniform over LoRA", "A scalar per source LoRA and linear map."),
                (
                    "scalearn_uniform_pp_lora",
                    "ScaLearnUniform++ over LoRA",
                    "A scalar per source LoRA for all queries, and one for all values.",
                ),
            )
        ),
    )
}
"""All methods, in the order of tables."""


def get_method(name: str) -> Method:
    """Return the method called `name`.

    Raises:
        UserError: no method has that name.
    """
    if name not in METHODS:
        raise unknown("method", name, METHODS)
    return METHODS[name]
