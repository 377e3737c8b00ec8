"""What the report says of Figure 3."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd

from ...config import Config
from ...core.words import count, joined, number, plural, short
from ...learners import LEARNERS
from ...models.likelihoods import LIKELIHOODS
from ...paper.comparison import (
    COMPARE_AT,
    closeness,
    comparison,
    done_curves,
    evidence_cells,
    missing_curves,
)
from ...paper.curves import accuracy, panels_of, paper_curve
from ...paper.facts import FIGURE3_SAMPLES
from ...report.conventions import changed_settings
from ...report.parts import NOTHING, Part, Section, Tabular, tabular
from ...report.style import SEEDS_FOR_SD, in_words
from ...results import Gathered
from ...results.curves import at, completed, replicas, seeds_of
from ...results.words import label, sizes
from . import STUDY, chains, live


def orderings(gathered: Gathered, paper: pd.DataFrame) -> list[dict]:
    """The algorithms of Figure 3 from best to worst, here and in the paper, at COMPARE_AT and the
    last count all reach.

    One entry for each experiment, split and count: experiment, split, samples; ours and theirs:
    (algorithm, log p(x)) from best to worst (theirs: those of which the paper has a value there);
    ties: which of ours are not apart from the next; agree: whether every two algorithms that are
    apart on both sides come in the same order (None if no two are). Apart: here by more than the
    standard deviation over seeds of their difference, in the paper by more than it can be read.
    """
    study = gathered.study
    entries = []
    for name, latent_dim, algorithms in panels_of(study, 3):
        done = {
            algorithm: curves
            for algorithm in algorithms
            if (curves := completed(gathered, name, algorithm, latent_dim))
        }
        if not done:
            continue
        first = max(
            curve["samples"].iloc[0] for curves in done.values() for curve in curves.values()
        )
        last = float(
            min(curve["samples"].iloc[-1] for curves in done.values() for curve in curves.values())
        )
        for split in ("train", "test"):
            for samples in [*(near for near in COMPARE_AT[3] if first <= near < last), last]:
                curves = {a: paper_curve(paper, study, name, latent_dim, a, split) for a in done}
                theirs = {a: at(c, "value", samples) for a, c in curves.items() if c is not None}
                values = {
                    a: pd.Series({seed: at(curve, split, samples) for seed, curve in seeds.items()})
                    for a, seeds in done.items()
                }
                reading = 2 * accuracy(study.experiments[name].dataset)
                entry = {"experiment": name, "split": split, "samples": samples}
                entries.append({**entry, **_ranked(values, theirs, reading)})
    return entries


def _ranked(values: dict[str, pd.Series], theirs: dict[str, float], reading: float) -> dict:
    """ours, ties, theirs and agree of `orderings`.

    `values`: log p(x) by seed of each algorithm; `reading`: by how much the paper's can be misread.
    """
    ours = {a: float(np.mean(replicates.to_numpy())) for a, replicates in values.items()}
    here, there = (
        sorted(((a, v) for a, v in side.items() if np.isfinite(v)), key=lambda pair: -pair[1])
        for side in (ours, theirs)
    )
    ours, theirs = dict(here), dict(there)
    apart = [
        (ours[a] - ours[b], theirs[a] - theirs[b])
        for a, b in itertools.combinations(sorted(set(ours) & set(theirs)), 2)
        if abs(ours[a] - ours[b]) > _paired_sd(values[a], values[b])
        and abs(theirs[a] - theirs[b]) > reading
    ]
    ties = [
        up - down <= _paired_sd(values[a], values[b])
        for (a, up), (b, down) in itertools.pairwise(here)
    ]
    agree = all((x > 0) == (y > 0) for x, y in apart) if apart else None
    return {"ours": here, "ties": ties, "theirs": there, "agree": agree}


def _paired_sd(a: pd.Series, b: pd.Series) -> float:
    """Standard deviation of a - b over the seeds that both algorithms have; 0 for a single one."""
    return float(np.nan_to_num((a - b).dropna().std(ddof=1)))


def ranked(
    pairs: list[tuple[str, float]], ties: list[bool] | None = None, values: bool = True
) -> str:
    """(algorithm, log p(x)) from best to worst as text; those that `ties` says are not apart
    from the one before behind a ≈."""
    texts = [f"{LEARNERS[a].label} {number(v)}" if values else LEARNERS[a].label for a, v in pairs]
    marks = [" ≈ " if tie else ", " for tie in ties] if ties else [", "] * len(texts)
    return "".join(
        itertools.chain.from_iterable(zip(texts, [*marks[: len(texts) - 1], ""], strict=False))
    )


def _best_first(entries: list[dict], study: Config) -> list[str]:
    """The order of the algorithms on the test set at the end, and at how many counts it is the
    paper's, as sentences."""
    sentences = []
    for name in dict.fromkeys(entry["experiment"] for entry in entries):
        mine = [
            entry for entry in entries if entry["experiment"] == name and entry["split"] == "test"
        ]
        last, known = mine[-1], [entry for entry in mine if entry["agree"] is not None]
        text = f"{sizes(study, name)}, test log p(x) at {count(last['samples'])} samples "
        text += "from best to worst: "
        text += ranked(last["ours"], last["ties"])
        if last["theirs"]:
            text += f"; the paper: {ranked(last['theirs'])}"
        if known:
            others = [entry for entry in known if not entry["agree"]]
            agreeing = f"{sum(entry['agree'] for entry in known)} of {plural(len(known), 'count')}"
            text += f". The order, of those that are apart in both, is the paper's at {agreeing}"
            text += f" ({', '.join(count(entry['samples']) for entry in known)})"
            text += "".join(
                f"; at {count(entry['samples'])} it is "
                f"{ranked(entry['ours'], entry['ties'], False)}, "
                f"the paper's {ranked(entry['theirs'], values=False)}"
                for entry in others
            )
        sentences.append(f"{text}.")
    return sentences


def seconds_to(done: list[pd.DataFrame], split: str, level: float) -> tuple[float, bool]:
    """Seconds of training until the mean over replicas reaches `level`; NaN if never.

    Between evaluations, interpolated in the logarithm of the seconds. Also whether the first
    evaluation is already there; the seconds are then those of that evaluation.
    """
    mean = pd.concat(done).groupby("samples")[["seconds", split]].mean()
    seconds, values = np.log(mean["seconds"].to_numpy()), mean[split].to_numpy()
    there = np.flatnonzero(
        values >= level - 1e-9
    )  # the level may be this mean, summed in another order
    if not len(there) or there[0] == 0:
        return (float(np.exp(seconds[0])), True) if len(there) else (np.nan, False)
    step = there[0]
    share = (level - values[step - 1]) / (values[step] - values[step - 1])
    return float(np.exp(seconds[step - 1] + share * (seconds[step] - seconds[step - 1]))), False


def _durations(gathered: Gathered, study: Config) -> list[str]:
    """How long each algorithm trains until it reaches the lowest of their last test values, as
    sentences."""
    sentences = []
    for name, latent_dim, algorithms in panels_of(study, 3):
        done = {
            algorithm: curves
            for algorithm in algorithms
            if (curves := done_curves(gathered, name, algorithm, latent_dim))
        }
        ends = {
            algorithm: float(np.mean([curve["test"].iloc[-1] for curve in curves]))
            for algorithm, curves in done.items()
        }
        if len(ends) < 2 or not np.isfinite(list(ends.values())).all():
            continue
        slowest = min(ends, key=ends.get)
        parts = []
        for algorithm, curves in done.items():
            seconds, bounded = seconds_to(curves, "test", ends[slowest])
            amount = f"{float(f'{seconds:.3g}'):,g}"
            parts.append(f"{LEARNERS[algorithm].label} {'at most ' if bounded else ''}{amount} s")
        sentences.append(
            f"{sizes(study, name)}: a test log p(x) of {number(ends[slowest])} nats, where "
            f"{LEARNERS[slowest].label} ends, takes "
            f"{joined(parts)} of training (one replica, this study's machine)."
        )
    return sentences


def diagnostics(gathered: Gathered) -> pd.DataFrame:
    """The last evaluation of Figure 3: columns of EVIDENCE, means over the replicas, for each curve
    and split.

    Beside them off and hmc_off: the largest distance of importance and of hmc from quadrature (NaN
    without it).
    """
    study = gathered.study
    rows = []
    for name, latent_dim, algorithms in panels_of(study, 3):
        for algorithm in algorithms:
            runs = [
                run
                for run in replicas(gathered, name, algorithm, latent_dim)
                if run.status == "completed"
            ]
            tables = [gathered.of("evidence")[run.run.name].frame for run in runs]
            for split in ("train", "test") if tables else ():
                last = pd.DataFrame(
                    [
                        table[table["split"] == split].sort_values("samples").iloc[-1]
                        for table in tables
                    ]
                )
                columns = {"off": "importance", "hmc_off": "hmc"}
                off = {
                    key: (last[column] - last["quadrature"]).abs().max()
                    for key, column in columns.items()
                }
                place = {"experiment": name, "algorithm": algorithm, "split": split}
                rows.append({**last.drop(columns="split").astype(float).mean(), **place, **off})
    return pd.DataFrame(rows)


def _checked(checks: pd.DataFrame) -> list[str]:
    """What quadrature says at the last evaluation, and what the paper's estimator adds there, as
    sentences."""
    if checks.empty:
        return []
    added, sentences = checks["hmc"] - checks["importance"], []
    if checks["off"].notna().any():
        sentences.append(
            "At the last evaluation, importance sampling is at most "
            f"{number(checks['off'].max(), 3)} nats from quadrature in any replica, "
            f"the paper's estimator at most {number(checks['hmc_off'].max(), 3)}."
        )
    sentences.append(
        f"There the paper's estimator minus importance sampling is {value_span(added)} nats "
        f"(median {number(added.median(), sign=True)}, over {plural(len(added), 'mean')} of "
        "replicas)."
    )
    return sentences


def _order(row: dict, compared: bool) -> dict:
    cells = {
        "data": label(row["experiment"]),
        "split": row["split"],
        "samples": count(row["samples"]),
    }
    cells["this study"] = ranked(row["ours"], row["ties"]) or "–"
    agree = {None: "–", True: "yes", False: "no"}[row["agree"]]
    return cells | (
        {"paper": ranked(row["theirs"]) or "–", "same order": agree} if compared else {}
    )


def _check(row: dict) -> dict:
    cells = {
        "data": label(row["experiment"]),
        "algorithm": LEARNERS[row["algorithm"]].label,
        "split": row["split"],
    }
    digits = {
        "importance": ("log p(x)", 2),
        "quadrature": ("quadrature", 2),
        "off": ("off", 3),
        "hmc_off": ("appendix D, off", 3),
    }
    digits |= {
        "efficiency": ("efficiency", 2),
        "khat_bad": ("k̂ > 0.7", 3),
        "acceptance": ("acceptance", 2),
    }
    digits |= {"divergences": ("divergences", 1), "rhat": ("R̂", 2), "chain_ess": ("chain ESS", 1)}
    return cells | {title: number(row[key], places) for key, (title, places) in digits.items()}


def value_span(values: pd.Series) -> str:
    """'+0.1 to +0.3', of the least and the largest of `values`."""
    return f"{number(values.min(), sign=True)} to {number(values.max(), sign=True)}"


def part(gathered: Gathered, paper: pd.DataFrame, numbers: dict[str, pd.DataFrame]) -> Part:
    """What page and paper show of Figure 3: order of the learners, values beside the paper's,
    whether the estimates can be believed, and how it was made."""
    study, table = gathered.study, comparison(gathered, paper, 3)
    names = study.figure3.experiments
    seeds = seeds_of(study, names[0])
    ranks, checks = orderings(gathered, paper), diagnostics(gathered)
    with_chains, compared = chains.compared(study), bool(table["paper"].notna().any())
    like = table.assign(difference=table["hmc"] - table["paper"])
    options = study.mcem if with_chains else None
    facts = {
        "budget3": short(STUDY.budget(study)),
        "seeds3": f"{plural(len(seeds), 'seed')} ({', '.join(map(str, seeds))})",
        "count3": len(seeds),
        "by_sd3": len(seeds) >= SEEDS_FOR_SD,
        "panels3": [{"id": name, "name": sizes(study, name)} for name in names],
        "compared3": compared,
        "found3": [
            *filter(
                None,
                [
                    closeness(table, study, "Test values of log p(x)"),
                    closeness(like, study, "By the paper's own estimator, test values of log p(x)"),
                ],
            ),
            *(chains.iterations(gathered, ranks, study) if with_chains else []),
            *(chains.chain_values(gathered, paper, study) if with_chains else []),
            *_durations(gathered, study),
            *_checked(checks),
        ],
        "best_first": _best_first(ranks, study),
        "counting": chains.counting(paper) if with_chains else [],
        "mcem": with_chains,
        "changed3": (changed_settings(options) if options else [])
        + changed_settings(study.evidence),
        "legend3": in_words(study.figure3.algorithms),
    }
    tables = {
        "order": tabular([_order(row, compared) for row in ranks], "split"),
        "diagnostics": tabular([_check(row) for row in checks.to_dict("records")]),
    }
    tables |= {f"evidence-{name}": _beside(table, study, name) for name in names}
    tables = {name: made for name, made in tables.items() if made.rows}
    return Part(
        facts,
        tables,
        [_section(facts)],
        missing_curves(study, paper, 3) + _short(study),
        {"figure3": live.figure3(gathered, paper)},
        findings={"figure3": " ".join(facts["best_first"])},
    )


def _beside(table: pd.DataFrame, study: Config, name: str) -> Tabular:
    """log p(x) of one experiment where its curves end, beside the paper's (`table`: rows of
    `comparison`)."""
    rows = table[table["experiment"] == name]
    rows = rows[rows["target"] == rows.groupby("algorithm")["target"].transform("max")]
    digits = LIKELIHOODS[study.experiments[name].likelihood].decimals
    known = bool(rows["paper"].notna().any())
    cells = [
        {"samples": count(row["samples"]), **evidence_cells(row, digits, known)}
        for row in rows.to_dict("records")
    ]
    return tabular(cells or [{"samples": "–", "algorithm": NOTHING}], "samples")


def _short(study: Config) -> list[str]:
    budget = STUDY.budget(study)
    if budget >= FIGURE3_SAMPLES:
        return []
    return [
        f"Figure 3 goes to {short(budget)} training samples per curve, "
        f"{100 * budget / FIGURE3_SAMPLES:.2g} % of the {short(FIGURE3_SAMPLES)} to which the axes "
        "of the paper's go: nothing here tells how its curves end."
    ]


def _section(facts: dict) -> Section:
    made = [("text", "method-mcem"), ("text", "method-counting")] if facts["mcem"] else []
    return Section(
        "evidence",
        "Figure 3" + (" beside the paper's" if facts["compared3"] else " in numbers"),
        [
            ("list", facts["found3"]),
            ("text", "evidence"),
            *(("table", f"evidence-{panel['id']}") for panel in facts["panels3"]),
            ("file", "evidence"),
            ("heading", "Order of the algorithms"),
            ("table", "order"),
            ("heading", "Can these estimates be believed"),
            ("table", "diagnostics"),
            ("heading", "How it was made"),
            (
                "items",
                [name for _, name in [*made, ("text", "method-evidence")]] + ["method-settings"],
            ),
        ],
        40,
    )
