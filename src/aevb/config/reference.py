"""The reference of all configuration keys: config/README.md."""

from __future__ import annotations

from . import (
    Ablation,
    Config,
    Curves,
    EstimatorStudy,
    Evaluation,
    Evidence,
    Experiment,
    Extended,
    Figure3,
    Manifold,
    MonteCarloEM,
    PriorSamples,
    Tradeoff,
    Training,
    VarianceStudy,
)


def reference() -> str:
    """All keys with their defaults and meanings, as the Markdown of config/README.md."""
    lines = [
        "# Configuration",
        "",
        "`paper.yaml` is the default; `--configfile config/quick.yaml` chooses another, `--config "
        "samples=1e6` changes a top-level",
        "key for one call. Written by `PYTHONPATH=src python -m aevb configuration > "
        "config/README.md` from src/aevb/config.",
    ]
    titles = {
        Config: "Top level",
        Experiment: "`experiments`: name -> experiment",
        Training: "`training`",
        Evaluation: "`evaluation`",
        MonteCarloEM: "`mcem`",
        Evidence: "`evidence`",
        Curves: "`figure2`: list of rows",
        Manifold: "`figure4`: list of panels",
        PriorSamples: "`figure5`: list of rows",
        Figure3: "`figure3` (optional)",
        EstimatorStudy: "`estimators` (optional)",
        Ablation: "`ablation` (optional)",
        Tradeoff: "`tradeoff` (optional)",
        VarianceStudy: "`variance` (optional)",
        Extended: "`extended` (optional)",
    }
    for model, title in titles.items():
        lines += [
            "",
            f"## {title}",
            "",
            model.__doc__.splitlines()[0],
            "",
            "| key | default | values | meaning |",
            "|---|---|---|---|",
        ]
        schema = model.model_json_schema()
        for name, entry in schema["properties"].items():
            if model is Config and "$ref" in str(entry):
                continue  # a section of its own
            default = (
                "(required)" if name in schema.get("required", []) else f"`{entry.get('default')}`"
            )
            kinds = entry.get("anyOf", [entry])
            values = " or ".join(
                str(kind.get("enum", kind.get("type", ""))).replace("null", "nothing")
                for kind in kinds
            )
            lines.append(f"| `{name}` | {default} | {values} | {entry.get('description', '')} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> None:
    """Print it."""
    print(reference(), end="")
