"""How data were prepared, and where a study departs from the default reading of the paper."""

from __future__ import annotations

from pydantic import BaseModel

from ..config import Config
from ..data import DATASETS
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from ..paper.facts import PAPER_FIGURE3, PAPER_HIDDEN
from ..results import Gathered
from ..results.curves import in_figure3
from ..results.words import label


def changed_settings(model: BaseModel, names=None) -> list[str]:
    """Settings (all, or those of `names`) that are not the default, as 'name = value (default)'."""
    names = list(type(model).model_fields) if names is None else names
    defaults = {name: type(model).model_fields[name].default for name in names}
    return [
        f"{name} = {getattr(model, name)} (default {defaults[name]})"
        for name in names
        if getattr(model, name) != defaults[name]
    ]


def hidden_of_paper(study: Config, name: str) -> int | None:
    """The paper's number of hidden units where experiment `name` has another; else None."""
    experiment = study.experiments[name]
    original = DATASETS[experiment.dataset].original
    hidden = PAPER_HIDDEN.get(original)
    if in_figure3(study, name) and original == PAPER_FIGURE3["dataset"]:
        hidden = PAPER_FIGURE3["hidden"]
    return hidden if hidden != experiment.hidden else None


def departures(study: Config, name: str) -> list[str]:
    """Settings of experiment `name` that are not the project's default reading of the paper, as
    'name = value (default)'."""
    experiment, third = study.experiments[name], in_figure3(study, name)
    found = []
    if (hidden := hidden_of_paper(study, name)) is not None:
        found.append(f"hidden = {experiment.hidden} (the paper: {hidden})")
    if experiment.n_train and not third:
        found.append(f"n_train = {experiment.n_train} (the paper: all)")
    names = ["binarise", "dequantise"]
    if type(experiment).model_fields["scale"].default in DATASETS[experiment.dataset].scales:
        names.insert(0, "scale")
    found += changed_settings(experiment, names) + changed_settings(study.training_of(name))
    for key in LEARNERS:
        if (options := study.options_of(key, name)) is not None:
            found += [f"{key}: {change}" for change in changed_settings(options)]
    return found


def conventions(gathered: Gathered, study: Config) -> dict[str, dict]:
    """For each experiment: sizes of its data, how they were prepared (part of every statement of
    a bound), departures."""
    entries = {}
    # Those of variants first: where the experiment itself was trained, its own stand.
    for run in sorted(gathered.runs.values(), key=lambda run: not run.run.variant):
        experiment, name = study.experiments[run.run.base], run.run.base
        values = f"grey values / {experiment.scale:g}"
        if experiment.dequantise:
            values = f"(grey values + fixed uniform noise of one level) / {experiment.scale:g}"
        values += ", thresholded at 0.5" if experiment.binarise else ", not binarised"
        about = {
            "name": label(name),
            "n_train": run.n_train,
            "n_test": run.n_test,
            "values": values,
            "decoder": f"{LIKELIHOODS[experiment.likelihood].title} decoder",
        }
        entries[name] = {
            **experiment.model_dump(),
            **about,
            "departures": departures(study, name),
        }
    return {name: entries[name] for name in study.experiments if name in entries}


def row(item: dict) -> dict:
    """An entry of `conventions` as a row of a table."""
    sizes = {
        "train": f"{item['n_train']:,}",
        "test": f"{item['n_test']:,}",
        "values": item["values"],
        "likelihood": item["likelihood"],
    }
    about = {
        "experiment": item["name"],
        "data": item["dataset"],
        **sizes,
        "hidden units": str(item["hidden"]),
    }
    return {**about, "not as by default": "; ".join(item["departures"]) or "nothing"}
