"""Values of ours beside the paper's at the same number of training samples."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from ..config import Config
from ..core.words import count, joined, number, plural
from ..data import DATASETS
from ..learners import LEARNERS
from ..models.likelihoods import LIKELIHOODS
from ..results import Gathered
from ..results.curves import appendix_d, at, completed, in_figure3
from ..results.words import label
from ..results.words import sizes as sizes_of
from .curves import accuracy, averaged_bound, panels_of, paper_curve

# Sample counts near which values of Figures 2 and 3 stand beside the paper's, within the budget.
COMPARE_AT = {2: (3e5, 1e6, 1e7, 1e8), 3: (1e6, 3e6, 1e7, 3e7, 6e7)}
# A point of the paper's curve takes the place of a wanted count that is at most so many steps of
# our evaluation grid away.
NEAR = 1.5
# So does its first point where the curve begins later than that, by this factor at most.
FIRST = 2
# Up to this share of a value, noise is small enough for "within the noise" to say something.
TELLING = 0.03
COLUMNS = [
    "experiment",
    "latent_dim",
    "target",
    "algorithm",
    "split",
    "samples",
    "ours",
    "sd",
    "standard_error",
    "replicas",
    "averaged",
]
COLUMNS += ["hmc", "paper", "difference", "tolerance", "rank", "interpolated"]


def done_curves(
    gathered: Gathered, experiment: str, algorithm: str, latent_dim: int
) -> list[pd.DataFrame]:
    """What figures show of the replicas that did not diverge."""
    return list(completed(gathered, experiment, algorithm, latent_dim).values())


def comparison(gathered: Gathered, paper: pd.DataFrame, figure: int = 2) -> pd.DataFrame:
    """Values of Figure 2 or 3 beside the paper's at the same number of training samples, one row
    per value, in nats per datapoint.

    Columns: experiment, latent_dim, algorithm, split, and

        target            the count asked for: COMPARE_AT and the last evaluation
        samples           the count compared at, see `_meeting_point`
        ours              mean over the replicas that did not diverge: of the bound, in Figure 3 of
                          log p(x) by importance sampling
        sd                over them; NaN for one
        standard_error    Monte Carlo error of ours
        replicas          their number
        averaged          mean over them of `averaged_bound`; Figure 2, train only
        hmc               as ours, by the paper's estimator; Figure 3 only
        paper             NaN where it has no curve
        difference        ours - paper
        tolerance         see `_tolerance`
        rank              the place of the paper's one run among it and ours, from the highest: 1 is
                          above all replicas, replicas + 1 below; of train in Figure 2 among running
                          averages, as the paper's most likely are
        interpolated      whether `paper` lies between two points of the paper's curve
    """
    study = gathered.study
    rows = []
    for experiment, latent_dim, algorithms in panels_of(study, figure):
        panel = []
        for algorithm in algorithms:
            done = done_curves(gathered, experiment, algorithm, latent_dim)
            for split in ("train", "test") if done else ():
                theirs = paper_curve(paper, study, experiment, latent_dim, algorithm, split)
                reading = accuracy(study.experiments[experiment].dataset)
                place = {
                    "experiment": experiment,
                    "latent_dim": latent_dim,
                    "algorithm": algorithm,
                    "split": split,
                }
                # Several where some seeds are trained further.
                lasts = {float(curve["samples"].iloc[-1]) for curve in done}
                first = done[0]["samples"].iloc[0]
                for target in sorted(
                    lasts | {near for near in COMPARE_AT[figure] if first <= near < max(lasts)}
                ):
                    reaching = [curve for curve in done if curve["samples"].iloc[-1] >= target]
                    grid = min((curve["samples"] for curve in reaching), key=len)
                    samples, at_point = _meeting_point(
                        grid, theirs, target, study.evaluation.points_per_decade
                    )
                    values = _beside(reaching, split, samples, theirs, reading)
                    interpolated = not at_point and np.isfinite(values["paper"])
                    panel.append(
                        {
                            **place,
                            "target": target,
                            "samples": samples,
                            **values,
                            "interpolated": interpolated,
                        }
                    )
        rows += sorted(panel, key=lambda line: line["target"])
    return pd.DataFrame(rows, columns=COLUMNS)


def _meeting_point(
    grid: pd.Series, theirs: pd.DataFrame | None, target: float, points_per_decade: int
) -> tuple[float, bool]:
    """The sample count near `target` to compare at, and whether it is a point of the paper's curve.

    Ours is evaluated more often, so ours is interpolated at the nearest point of the paper's curve.
    That point must be near `target`, or the curve only begin there. Otherwise it is our evaluation
    nearest `target`.
    """
    if theirs is not None:
        point = _nearest(theirs["samples"], target)
        begins = target < theirs["samples"].iloc[0] <= FIRST * target
        near = abs(np.log10(point / target)) <= NEAR / points_per_decade or begins
        if near and grid.iloc[0] <= point <= grid.iloc[-1]:
            return point, True
    return _nearest(grid, target), False


def _nearest(samples: pd.Series, target: float) -> float:
    return float(samples.iloc[np.argmin(np.abs(np.log(samples.to_numpy(float) / target)))])


def _beside(
    done: list[pd.DataFrame],
    split: str,
    samples: float,
    theirs: pd.DataFrame | None,
    reading: float,
) -> dict:
    """The replicas' curves `done` at one sample count, and the paper's value there."""
    values = [at(curve, split, samples) for curve in done]
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else np.nan
    # Between two evaluations the interpolated error is a little more than that of the interpolated
    # bound.
    error = np.sqrt(sum(at(curve, f"{split}_se", samples) ** 2 for curve in done)) / len(done)
    bounds, estimates = "running" in done[0], f"{split}_hmc" in done[0]
    averages = (
        [averaged_bound(curve, samples) for curve in done] if split == "train" and bounds else []
    )
    hmc = (
        float(np.mean([appendix_d(curve, split, samples) for curve in done]))
        if estimates
        else np.nan
    )
    reference = np.nan if theirs is None else at(theirs, "value", samples)
    ours = {
        "ours": float(np.mean(values)),
        "sd": sd,
        "standard_error": error,
        "replicas": len(done),
    }
    ours |= {"averaged": float(np.mean(averages)) if averages else np.nan, "hmc": hmc}
    above = sum(value > reference for value in averages or values)
    return {
        **ours,
        "paper": reference,
        "difference": ours["ours"] - reference,
        "tolerance": _tolerance(sd, len(done), reading),
        "rank": np.nan if np.isnan(reference) else above + 1,
    }


def tells(tolerance, paper):
    """Whether seeds say enough of the noise for "within the noise" to mean something: the
    half-width `tolerance` is at most TELLING of the size of the paper's value. Elementwise."""
    return np.asarray(tolerance) <= TELLING * np.abs(paper)


def _tolerance(sd: float, replicas: int, reading: float) -> float:
    """Half-width of the 95 % interval for the paper's one run minus the mean of ours.

    It is Student's t for the spread of a further run about the mean of `replicas`, plus the
    accuracy of `reading` the paper. NaN for one replica.
    """
    return (
        reading + stats.t.ppf(0.975, replicas - 1) * sd * np.sqrt(1 + 1 / replicas)
        if replicas > 1
        else np.nan
    )


def shared(rows: pd.DataFrame) -> float:
    """The last count asked for (`target` of `comparison`) that the most replicas reach.

    Where some seeds are trained further, that is the last count of all.
    """
    most = rows.groupby("target")["replicas"].max()
    return float(most.index[most == most.max()].max())


def closeness(table: pd.DataFrame, study: Config, what: str) -> str:
    """How close test values come to the paper's at the last count at which both are known.

    It is a sentence. Where some seeds are trained further, it also gives the last count of all.
    """
    parts = []
    for name in dict.fromkeys(table["experiment"]):
        rows = table[
            (table["experiment"] == name) & (table["split"] == "test") & table["paper"].notna()
        ]
        if rows.empty:
            continue
        digits = LIKELIHOODS[study.experiments[name].likelihood].decimals
        where = sizes_of(study, name) if in_figure3(study, name) else label(name)
        for target in sorted({shared(rows), rows["target"].max()}):
            part = rows[rows["target"] == target]
            sizes = part["difference"].abs()
            worst = part.loc[sizes.idxmax()]
            within = "one seed: noise not known"
            if part["tolerance"].notna().any():
                known = tells(part["tolerance"], part["paper"])
                half = number(part["tolerance"][known].median(), digits)
                inside = sum((sizes <= part["tolerance"]) & known)
                said = [f"{inside} within the noise, of half-width {half} (median)"] * any(known)
                few = sum(~known)
                said += [f"for {few} too few seeds to tell"] * bool(few)
                within = ", ".join(said)
            parts.append(
                f"on {where}, near {count(target)} samples, by a median of "
                f"{number(sizes.median(), digits)} nats "
                f"over {plural(len(part), 'curve')} ({within}; largest: "
                f"{number(worst['difference'], digits, sign=True)}, "
                f"{LEARNERS[worst['algorithm']].label} with N_z = {worst['latent_dim']})"
            )
    return f"{what} differ from the paper's {'; '.join(parts)}." if parts else ""


def evidence_cells(row: dict, digits: int, compared: bool) -> dict:
    """A row of `comparison` for Figure 3 from the algorithm on, as texts."""
    cells = {"algorithm": LEARNERS[row["algorithm"]].label, "split": row["split"]}
    cells |= {"log p(x)": number(row["ours"], digits), "± sd": number(row["sd"], digits)}
    cells |= {"seeds": str(row["replicas"]), "MC error": number(row["standard_error"], 3)}
    cells["appendix D"] = number(row["hmc"], digits)
    cells["bias"] = number(row["hmc"] - row["ours"], digits, sign=True)
    if compared:
        cells |= paper_cells(row, digits)
        cells["like with like"] = number(row["hmc"] - row["paper"], digits, sign=True)
    return cells


def paper_cells(row: dict, digits: int) -> dict:
    """What the paper has beside a row of `comparison`, as texts."""
    rank = f"{row['rank']:.0f} of {row['replicas'] + 1}" if np.isfinite(row["rank"]) else "–"
    return {
        "the paper": number(row["paper"], digits) + "*" * row["interpolated"],
        "difference": number(row["difference"], digits, sign=True),
        "± noise": number(row["tolerance"], digits),
        "the paper's rank": rank,
    }


def missing_curves(study: Config, paper: pd.DataFrame, figure: int) -> list[str]:
    """Curves of the paper's Figure 2 or 3 without a counterpart in a study, as a sentence."""
    keys = ["dataset", "n_train", "latent_dim", "algorithm"]
    done = {
        (
            DATASETS[study.experiments[name].dataset].original,
            study.n_train(name) if figure == 3 else 0,
            dim,
            algorithm,
        )
        for name, dim, algorithms in panels_of(study, figure)
        for algorithm in algorithms
        if paper_curve(paper, study, name, dim, algorithm, "test") is not None
    }
    missing: dict[tuple, list] = {}
    known = paper[paper["figure"] == figure][keys].fillna(0).drop_duplicates()
    for dataset, n_train, latent_dim, algorithm in known.itertuples(index=False):
        if (dataset, n_train, latent_dim, algorithm) not in done:
            name = label(dataset) + (f" with N_train = {n_train:,.0f}" if n_train else "")
            missing.setdefault((name, algorithm), []).append(latent_dim)
    if not missing:
        return []
    listed = [
        f"{name}, {LEARNERS[algorithm].label}: N_z = {joined(dims)}"
        for (name, algorithm), dims in missing.items()
    ]
    what = f"Curves of the paper's Figure {figure} without a counterpart here"
    return [f"{what}: {'; '.join(listed)}."]
