"""Reading results: tables, the published scores beside them, verdicts on claims, figures."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "results": ["load_results", "share_histories", "tidy", "titled", "validation_losses"],
        "tables": ["commands", "comparison", "scores", "source_tasks_compared", "suite_results", "table"],
        "verdicts.decided": ["claims"],
        "findings": ["findings_page"],
        "verdicts.telling": ["against_predictions", "counted", "lines", "not_run", "readable"],
        "paper": ["published"],
        "coefficients": ["save_omega"],
        "equal_budgets": ["equal_budget_runs", "equal_budget_scores"],
    },
)
