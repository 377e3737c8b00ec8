"""The paper and the tables: the same numbers as the page, any text as text, equal bytes; and the
table of claims in its three forms."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import FULL, PAPER, STUDY, build, diverge, one_diverged, pictures
from test_report import Page, render, words

from aevb import config, results
from aevb.core.errors import UserError
from aevb.core.provenance import fingerprint
from aevb.paper.claims import VERDICTS
from aevb.pipeline import plan
from aevb.report import general, pages
from aevb.report.parts import plain
from aevb.results import csv
from aevb.studies.paper.findings import verdicts
from aevb.studies.planning import codes

EVIL = 'a "b" \\ $x$ #panic("no") *c* _d_ // e /* f <g> @h [i] ~ ] )'
CLAIMS = pd.DataFrame(
    [
        [
            "1. speed",
            EVIL,
            "holds",
            1.5,
            1.25,
            1.75,
            "times the samples",
            5,
            9,
            "",
            "figure2",
        ],
        [
            "2. bound",
            "AEVB ends | above.",
            "does not hold",
            -0.1,
            np.nan,
            np.nan,
            "nats",
            1,
            2,
            "MNIST, N_z = 3",
            "figure2",
        ],
        [
            f"3. cost {EVIL}",
            "AEVB takes less time.",
            "not tested: it needs time",
            np.nan,
            np.nan,
            np.nan,
            "s",
            0,
            0,
            "",
            "figure2",
        ],
    ],
    columns=[*(name for name in VERDICTS[:11] if name != "finding"), "figure"],
).assign(
    check=["p", "q", np.nan],
    interval=["bootstrap over 5 seeds", "none: one seed", np.nan],
    study=["synthetic", "other", ""],
    paper=True,
    says="x",
    rule="y",
    finding=[f"1.50 times {EVIL}", "−0.10 nats (MNIST, N_z = 3)", "it needs time"],
)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return build(tmp_path_factory.mktemp("synthetic"), FULL, one_diverged)


def typeset(path, output, **numbers):
    gathered = results.read_gathered(path)
    drawn = pictures(gathered.study, output.parent, ".pdf")
    pages.typeset_paper(gathered, pd.read_csv(PAPER), drawn, numbers, output)
    return output.read_bytes()


def test_equal_results_give_an_equal_paper_in_any_process(path, tmp_path):
    first = typeset(path, tmp_path / "report.pdf", claims=CLAIMS)
    assert first.startswith(b"%PDF") and b"CreationDate" not in first
    names = list(plan.figures(config.load(FULL)))
    code = (
        "import sys; from aevb import results; from aevb.report import pages; import pandas; "
        "from test_pages import CLAIMS\n"
    )
    code += f"figures = {{name: f'{tmp_path}/{{name}}.pdf' for name in {names}}}\n"
    code += (
        "pages.typeset_paper(results.read_gathered(sys.argv[1]), pandas.read_csv(sys.argv[2]), "
        "figures, {'claims': CLAIMS}, sys.argv[3])"
    )
    command = [sys.executable, "-c", code, str(path), str(PAPER), str(tmp_path / "again.pdf")]
    subprocess.run(command, check=True, cwd=PAPER.parents[1] / "tests")
    assert (tmp_path / "again.pdf").read_bytes() == first


def test_the_paper_has_every_table_and_text_of_the_page(path, tmp_path):
    page = Page(render(tmp_path, path, claims=CLAIMS))
    gathered, paper = results.read_gathered(path), pd.read_csv(PAPER)
    drawn = dict.fromkeys(plan.figures(gathered.study), "")
    source = pages.source(gathered, paper, drawn, {"claims": CLAIMS})
    plain = re.sub(
        r'#"((?:[^"\\]|\\.)*)";', lambda found: re.sub(r"\\(.)", r"\1", found[1]), source
    )
    plain = plain.replace("$N_z$", "Nz").replace('$N_"train"$', "Ntrain")
    del page.tables["values"]  # behind the plots to look into, which a paper has not
    assert len(page.tables) == 15
    for name, rows in page.tables.items():
        for row in rows:
            for cell in row:
                assert f"[{cell}], " in plain, (name, cell)
    for sentence in pages._contents(gathered, paper, {})["findings"].values():
        assert sentence.replace("N_z", "Nz").replace("N_train", "Ntrain") in plain
    assert (
        "In the paper: AEVB ends above wake-sleep in every panel" in plain
        and "In the paper: AEVB ends above" in words(page.text)
    )


def test_any_text_is_typeset_as_text(tmp_path):
    def change(name, run):
        run.attributes.update(processor=EVIL)
        run = diverge(run) if name == "mnist/aevb-nz2-seed0" else run
        run.attributes["reason"] = EVIL if run.status == "diverged" else ""
        return run

    assert typeset(
        build(tmp_path, change=change), tmp_path / "report.pdf", claims=CLAIMS
    ).startswith(b"%PDF")
    assert pages.typeset('N_z "a" \\') == '$N_z$#" \\"a\\" \\\\";'


def test_a_study_that_diverged_altogether_has_a_paper(tmp_path):
    assert typeset(
        build(tmp_path, FULL, lambda name, run: diverge(run)), tmp_path / "report.pdf"
    ).startswith(b"%PDF")


def test_claims_in_three_forms(path, tmp_path):
    """Page, paper and README: a badge, a word and a sentence each; the rest folds away."""
    made = verdicts(CLAIMS, "synthetic")
    assert [(row.icon, row.word) for row in made] == [
        ("✓", "holds"),
        ("✗", "does not hold"),
        ("–", "not tested"),
    ]
    assert made[0].claim == "1. Speed" and made[0].finding == f"1.50 times {EVIL}."
    assert made[1].more["Checks"] == "2 checks; weakest: q, none: one seed; study other."
    assert made[1].finding.endswith(", in the study other.")
    assert made[0].more["Measured"] == EVIL and made[1].link == "#figure2"
    page = Page(render(tmp_path, path, claims=CLAIMS))
    said = words(page.text)
    for row in made[:2]:
        assert words(f"{row.icon} {row.word} {row.claim}") in said
        for text in (row.finding, *row.more.values()):
            assert words(text.replace("N_z", "Nz")) in said
    assert words(f"Not tested, because this study lacks the data: 3. cost {EVIL}.") in said
    counts = "Of 2 claims of the paper, 1 holds and 1 does not hold."
    failing = "What does not hold, and where: bound (MNIST, Nz = 3)."
    assert said.index(words(counts)) < said.index(words(failing)) < said.index("✓ holds")
    gathered, paper = results.read_gathered(path), pd.read_csv(PAPER)
    drawn = dict.fromkeys(plan.figures(gathered.study), "")
    assert "✗" not in pages.source(gathered, paper, drawn, {})
    source = pages.source(gathered, paper, drawn, {"claims": CLAIMS})
    assert '[#"✗"; #"does not hold";]' in source and f"[{pages.typeset(made[1].finding)}]" in source
    text = pages.opening(gathered, paper, {"claims": CLAIMS}).splitlines()
    assert text[0] == f"* {counts}" and text[3].startswith("| verdict | claim | finding |")
    rows = [line for line in text if line.startswith("| ✓") or line.startswith("| ✗")]
    assert len(rows) == 2 and all(row.count("|") - row.count("\\|") == 4 for row in rows)


def test_the_readme_takes_the_answer_between_its_marks(path, tmp_path):
    CLAIMS.to_csv(tmp_path / "claims.csv", index=False)
    shutil.copy(path, tmp_path / "gathered.h5")
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- answer -->\nold\n<!-- /answer -->\nafter\n")
    for _ in range(2):
        subprocess.run([sys.executable, "-m", "aevb", "readme", readme, tmp_path], check=True)
        tables = {"claims": csv.read(tmp_path / "claims.csv")}
        made = pages.opening(results.read_gathered(path), pd.read_csv(PAPER), tables)
        text = readme.read_text()
        assert text == f"before\n<!-- answer -->\n{made}\n<!-- /answer -->\nafter\n"
    with pytest.raises(UserError, match="needs one line <!-- answer -->"):
        pages.with_fragment("no marks", "answer", "x")


def test_long_tables_are_linked_files(path, tmp_path):
    distances = pd.DataFrame(
        {
            "figure": [2, 3],
            "experiment": ["mnist", "frey"],
            "latent_dim": [3, 2],
            "n_train": [np.nan, 1000],
            "algorithm": ["aevb", "mcem"],
        }
    ).assign(rms=[0.5, -1.25], at=[316_200.0, 1e6], closest=[True, False], seeds=[3, 2])
    made = plain(distances)
    page = Page(render(tmp_path, path, distances=distances, units=distances))
    said = words(page.text)
    assert "distances.csv, 2 rows: How far our curves are" in said
    assert "units.csv, 2 rows: What the latent variables carry" in said
    row, other = (dict(zip(made.head, cells, strict=True)) for cells in made.rows)
    assert row == {
        "figure": "2",
        "data": "MNIST",
        "N_z": "3",
        "N_train": "–",
        "algorithm": "AEVB",
    } | {**{"rms": "0.50", "at": "3.16e5", "closest": "yes", "seeds": "3"}}
    assert other["rms"] == "−1.25" and other["N_train"] == "1,000" and other["algorithm"] == "MCEM"


def test_results_of_code_that_has_changed_are_marked(tmp_path):
    roots = codes(config.load(STUDY))

    def change(name, run):
        same = fingerprint(roots["runs", name]).sha256
        run.attributes["code_sha256"] = same if "mnist" in name else "c" * 64
        return run

    gathered = results.read_gathered(build(tmp_path, change=change))
    made = general.part(gathered, pd.read_csv(PAPER), {}).facts
    groups = {(row["results"], row["code"]): (row["files"], row["since"]) for row in made["code"]}
    codes_now = {
        algorithm: fingerprint(roots["runs", f"mnist/{algorithm}-nz3-seed0"]).sha256
        for algorithm in ("aevb", "wake_sleep")
    }
    assert groups == {
        ("runs", codes_now["aevb"][:12]): ("5", "the same"),
        ("runs", codes_now["wake_sleep"][:12]): ("4", "the same"),
        ("runs", "c" * 12): ("4", "changed"),
        ("encoded", "e" * 12): ("2", "changed"),
    }
    assert made["code_said"] == "6 of 15 results were made by code that has changed since."


def test_the_readme_opens_with_the_answer_of_the_reference_run():
    root = Path(__file__).parent.parent
    folder, readme = root / "results/reference", (root / "README.md").read_text(encoding="utf-8")
    tables = {path.stem: csv.read(path) for path in folder.glob("*.csv")}
    gathered = results.read_gathered(folder / "gathered.h5")
    others = [results.read_gathered(root / path) for path in gathered.study.beside]
    made = pages.opening(gathered, pd.read_csv(PAPER), tables, others)
    assert pages.with_fragment(readme, "answer", made) == readme
