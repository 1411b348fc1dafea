"""Submissions whose marks are known: the reference, typical wrong answers, and notebooks that misbehave."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from scalearn_lib.course.repair import grade_id

SOURCE = Path(__file__).parents[2] / "notebooks" / "assignments" / "source"
POINTS = {"learning_to_scale": (26, 6), "scaling": (17, 6), "budget": (15, 6), "replication": (14, 14)}
POINTS |= {"project": (14, 18)}
"""Points by tests and by hand of each assignment, in the order of the course."""


@dataclass(frozen=True)
class Case:
    """An answer that is wrong, or right in another way than the reference: then nothing is lost.

    Args:
        assignment: of which assignment.
        edits: what replaces what in the answers of the reference, by cell; `None` for "what" replaces the whole cell.
        lost: the test cells that fail, each with words that its feedback must have.
        noted: words of a note that the feedback must have.
    """

    assignment: str
    edits: Mapping[str, tuple[str | None, str]]
    lost: Mapping[str, str]
    noted: str = ""


CHOSEN = "ranking(choices).index.intersection(allowed.index, sort=False)[0]"
BEST = 'pairs.groupby([target, partner])["score"].mean().idxmax()'
SUM = "(omega[:, None, None, :] * outputs).sum(0)"
FOLD = """def fold(sources, omega):
    downs, down_biases, ups, up_biases = zip(*sources, strict=True)
    U = torch.cat([weights[:, None] * up for weights, up in zip(omega, ups, strict=True)], 1)
    b = (omega * torch.stack(up_biases)).sum(0)
    return torch.cat(downs), torch.cat(down_biases), U, b"""
CASES = {
    "softmax kept": Case(
        "learning_to_scale",
        {"a1_sum": (SUM, "(omega.softmax(0)[:, None, None, :] * outputs).sum(0)")},
        {"a1_test_vector": "softmax over the sources is kept", "a1_test_number": "softmax over the sources is kept"},
    ),
    "wrong axis": Case(
        "learning_to_scale",
        {"a1_sum": (SUM, "(omega[:, None, None, :] * outputs).sum(2)")},
        {"a1_test_vector": "wrong axis: the tokens", "a1_test_number": "wrong axis: the tokens"},
    ),
    "residual forgotten": Case(
        "learning_to_scale",
        {"a1_residual": ("return h + scaled_sum", "return scaled_sum")},
        {"a1_test_residual": "The residual is forgotten"},
    ),
    "residual doubled": Case(
        "learning_to_scale",
        {"a1_residual": ("return h + scaled_sum", "return h + h + scaled_sum")},
        {"a1_test_residual": "The residual is doubled"},
    ),
    "omega shared where it must not be": Case(
        "learning_to_scale",
        {"a1_omega": ('if variant.endswith("_pp"):', "if True:")},
        {"a1_test_sharing": "each layer needs an ω of its own"},
    ),
    "omega not shared where it must be": Case(
        "learning_to_scale",
        {"a1_omega": ('if variant.endswith("_pp"):', "if False:")},
        {"a1_test_sharing": "the layers must share one ω"},
    ),
    "dropout at evaluation": Case(
        "learning_to_scale",
        {"a1_dropout": ("F.dropout(omega, p, training)", "F.dropout(omega, p)")},
        {"a1_test_evaluation": "There is dropout at evaluation"},
    ),
    "counts off by one layer": Case(
        "learning_to_scale",
        {"a1_counts": ('"scalearn": T * L * d', '"scalearn": T * (L + 1) * d')},
        {"a1_test_counts": "off by one"},
    ),
    "counts typed in": Case(
        "learning_to_scale",
        {
            "a1_counts": (
                None,
                "def transfer_parameters(method, T, L, d):\n"
                '    counts = {"scalearn": 73728, "scalearn_uniform": 96, "scalearn_pp": 6144}\n'
                "    return counts.get(method, 8 if method.startswith('scalearn') else 21252096)",
            )
        },
        {"a1_test_counts": "looks typed in", "a1_test_fusion": "looks typed in"},
    ),
    "biases of fusion forgotten": Case(
        "learning_to_scale",
        {"a1_counts": ("L * (3 * d * d + 2 * d)", "L * 3 * d * d")},
        {"a1_test_fusion": "biases of query and key are missing"},
    ),
    "sources look at the first layer's input": Case(
        "learning_to_scale",
        {
            "a1_encode": (
                None,
                "def encode(h, adapters, omegas):\n"
                "    outputs = [[source_output(h, s) for s in sources] for sources in adapters]\n"
                "    for layer, omega in zip(outputs, omegas, strict=True):\n"
                "        h = layer_output(h, omega, torch.stack(layer))\n"
                "    return h",
            )
        },
        {"a1_test_encode": "look at the input h of the first layer"},
    ),
    "biases folded without omega": Case(
        "learning_to_scale",
        {"a1_fold": ("sum(weights * bias for weights, bias in zip(omega, up_biases, strict=True))", "sum(up_biases)")},
        {"a1_test_fold": "summed without ω", "a1_test_fold_vector": "summed without ω"},
    ),
    "coefficients through a softmax": Case(
        "learning_to_scale",
        {"a1_best": (".solution[:, 0]", ".solution[:, 0].softmax(0)")},
        {"a1_test_best": "went through a softmax"},
    ),
    "test cell edited": Case(
        "learning_to_scale",
        {"a1_residual": ("return h + scaled_sum", "return scaled_sum"), "a1_test_residual": (None, "assert True")},
        {"a1_test_residual": "The residual is forgotten"},
        "'a1_test_residual' had been changed",
    ),
    "heat map transposed": Case(
        "scaling",
        {"a2_heat": ("index=partner, columns=target", "index=target, columns=partner")},
        {"a2_test_heat": "The axes are swapped"},
    ),
    "other adapter averaged over": Case(
        "scaling",
        {"a2_curve": ("pairs[pairs[other] == 0].groupby", "pairs.groupby")},
        {"a2_test_curve": "averaged over, not switched off"},
    ),
    "luck of one head": Case(
        "scaling",
        {
            "a2_best": (BEST, 'pairs.set_index([target, partner])["score"].idxmax()'),
        },
        {"a2_test_best": "best single head"},
    ),
    "spread instead of error": Case(
        "budget",
        {"a3_rank": ("grouped.sem()", "grouped.std()")},
        {"a3_test_rank": "divide it by the square root"},
    ),
    "budget exceeded": Case(
        "budget",
        {
            "a3_choice": (
                f"choice = {CHOSEN}",
                'choice = ("all", "scalearn")',
            )
        },
        {"a3_test_allowed": "60 are allowed", "a3_test_beats": "not affordable"},
    ),
    "unrelated source": Case(
        "budget",
        {
            "a3_choice": (
                f"choice = {CHOSEN}",
                'choice = ("questions", "scalearn_uniform")',
            )
        },
        {"a3_test_beats": "on test, ScaLearn over all nine"},
    ),
    "normal quantile": Case(
        "replication",
        {"a4_interval": ("t.ppf(0.5 + level / 2, len(values) - 1)", "1.959964")},
        {"a4_test_interval": "normal quantile"},
    ),
    "sign turned round": Case(
        "replication",
        {"a4_differences": ("wide[method] - wide[other]", "wide[other] - wide[method]")},
        {"a4_test_differences": "wrong way round"},
    ),
    "a test split of five rows": Case(
        "project",
        {
            "a5_suite": (
                'suite_file = "example.yaml"',
                'suite_file = "mine.yaml"\n'
                'pd.read_csv("example_topic.csv")[::80].to_csv("few.csv", index=False)\n'
                'few = "{train: example_topic.csv, test: few.csv}"\n'
                'with open("example.yaml") as given, open(suite_file, "w") as mine:\n'
                '    mine.write(given.read().replace("example_topic.csv", few))',
            )
        },
        {"a5_test_suite": "has 5 rows, but 30 are needed", "a5_test_results": "from other data than you hand in"},
    ),
    "one seed": Case(
        "project",
        {"a5_planned": ("for seed in seeds", "for seed in seeds[:1]")},
        {"a5_test_planned": "Seeds are missing"},
    ),
    "results of other data": Case(
        "project",
        {
            "a5_results": (
                'results_file = "example_results.csv"',
                'results_file = "mine.csv"\n'
                'pd.read_csv("example_results.csv").assign(content="old").to_csv(results_file, index=False)',
            )
        },
        {"a5_test_results": "made from other data than you hand in"},
    ),
    "a mean above the baseline": Case(
        "project",
        {"a5_learned": ("low = scores.mean() - half", "low = scores.mean()")},
        {"a5_test_learned": "A mean above the baseline is not enough"},
    ),
    "difference turned round": Case(
        "project",
        {"a5_conclusion": ('wide["scalearn"] - wide["adapter_fusion"]', 'wide["adapter_fusion"] - wide["scalearn"]')},
        {"a5_test_conclusion": "The sign is the wrong way round"},
    ),
    "omega without a gradient": Case(
        "learning_to_scale",
        {"a1_omega": ("2 / T))", "2 / T), requires_grad=False)")},
        {"a1_test_start": "requires_grad=False"},
    ),
    "omega detached": Case(
        "learning_to_scale",
        {"a1_sum": (SUM, "(omega.detach()[:, None, None, :] * outputs).sum(0)")},
        {"a1_test_vector": "no gradient reaches ω"},
    ),
    "omega in float64": Case("learning_to_scale", {"a1_omega": ("2 / T)", "2 / T, dtype=torch.float64)")}, {}),
    "residual in place": Case(
        "learning_to_scale",
        {"a1_residual": ("return h + scaled_sum(omega, outputs)", "h += scaled_sum(omega, outputs)\n    return h")},
        {},
    ),
    "helper named reference": Case(
        "learning_to_scale",
        {
            "a1_sum": (
                None,
                "def reference(omega):\n    return omega[:, None, None, :]\n\n\n"
                "def scaled_sum(omega, outputs):\n    return (reference(omega) * outputs).sum(0)",
            ),
            "a1_fold": ("### BEGIN SOLUTION", "reference(omega)"),
            "a1_best": ("### BEGIN SOLUTION", "reference(torch.ones(1, 1))"),
        },
        {},
    ),
    "builtins and imports renamed": Case(
        "learning_to_scale",
        {"a1_fold": (None, FOLD + "\n\n\nlen = compare = attempt = result = h = omega = outputs = None")},
        {},
    ),
    "median for the best pair": Case(
        "scaling",
        {"a2_best": (BEST, BEST.replace("mean", "median"))},
        {"a2_test_best": "best median"},
    ),
    "median over the heads": Case(
        "scaling",
        {
            "a2_curve": ("].mean()", "].median()"),
            "a2_heat": ('aggfunc="mean"', 'aggfunc="median"'),
        },
        {"a2_test_curve": "median", "a2_test_heat": "median"},
    ),
    "curve in another order": Case("scaling", {"a2_curve": ("].mean()", "].mean()[::-1]")}, {}),
    "level ignored": Case(
        "replication",
        {"a4_interval": ("0.5 + level / 2", "0.975"), "a4_seeds": ("0.5 + level / 2", "0.975")},
        {"a4_test_interval": "confidence level is ignored", "a4_test_seeds": "confidence level is ignored"},
    ),
    "report rounded": Case(
        "replication",
        {
            "a4_result": (
                'report["verdict"] =',
                'for key in ("mean", "low", "high"):\n    report[key] = round(report[key], 2)\nreport["verdict"] =',
            )
        },
        {},
    ),
    "claim on two tasks": Case(
        "replication",
        {"a4_result": ("differences(results, ", 'differences(results[results["task"].isin(["amazon", "trec"])], ')},
        {},
    ),
    "differences in another order": Case(
        "replication", {"a4_differences": ("* 100).mean(axis=1)", "* 100).mean(axis=1)[::-1]")}, {}
    ),
    "helpers named quantile, smallest, series": Case(
        "replication",
        {
            "a4_differences": (
                None,
                "def series(results, method):\n"
                '    return results[results["method"] == method].set_index(["seed", "task"])["score"]\n\n\n'
                "def differences(results, method, other):\n"
                '    return (series(results, method) - series(results, other)).groupby("seed").mean() * 100',
            ),
            "a4_interval": (
                None,
                "def quantile(level, n):\n    from scipy.stats import t\n\n"
                "    return t.ppf(0.5 + level / 2, n - 1)\n\n\n"
                "def interval(values, level=LEVEL):\n    values = np.asarray(values)\n"
                "    half = quantile(level, len(values)) * values.std(ddof=1) / np.sqrt(len(values))\n"
                "    return values.mean(), values.mean() - half, values.mean() + half",
            ),
            "a4_seeds": (
                None,
                "def smallest(good):\n    return next(n for n in range(2, 10_000) if good(n))\n\n\n"
                "def seeds_needed(effect, sd, level=LEVEL):\n"
                "    return smallest(lambda n: quantile(level, n) * sd / np.sqrt(n) < effect)",
            ),
        },
        {},
    ),
}


def source(assignment: str) -> NotebookNode:
    """The source of an assignment, with solutions and hidden tests."""
    return nbformat.read(SOURCE / assignment / f"{assignment}.ipynb", as_version=4)


def edited(notebook: NotebookNode, edits: Mapping[str, tuple[str | None, str]]) -> NotebookNode:
    """A copy with some cells changed; every edit must find its place."""
    notebook, found = deepcopy(notebook), set()
    for cell in notebook.cells:
        if grade_id(cell) in edits:
            old, new = edits[grade_id(cell)]
            assert old is None or old in cell.source, f"{grade_id(cell)} has no {old!r}"
            cell.source = new if old is None else cell.source.replace(old, new)
            found.add(grade_id(cell))
    assert found == set(edits)
    return notebook


def submission(
    release: NotebookNode, assignment: str, edits: Mapping[str, tuple[str | None, str]] | None = None
) -> NotebookNode:
    """What a student hands in: the release with the reference's answers, some of them changed."""
    answers = {grade_id(cell): cell for cell in edited(source(assignment), edits or {}).cells if grade_id(cell)}
    handed_in = deepcopy(release)
    for cell in handed_in.cells:
        name = grade_id(cell)
        if name and (cell.metadata["nbgrader"]["solution"] or name in (edits or {})):
            cell.source = answers[name].source
    return handed_in
