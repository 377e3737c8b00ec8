"""Commands and links of the README and of docs/: each names what is there."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from aevb import config
from aevb.__main__ import COMMANDS

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
OWN = {"mine.yaml", "FILE"}  # what stands for a file of the reader's


def commands(text):
    """The command lines of a page: those of its shell blocks, and those set as code in a line that
    begin with a program of ours."""
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"`((?:\./run|snakemake|python -m aevb|python benchmarks/)[^`]*)`", text)
    return [line.partition(" # ")[0].strip() for line in lines if line.strip()]


def options(words):
    """The configuration file and the keys that a call of Snakemake names."""
    file, keys = "config/paper.yaml", {}
    taking = ""
    for word in words:
        if word.startswith("-"):
            taking = word.partition("=")[0]
            file = word.partition("=")[2] or file if taking == "--configfile" else file
        elif taking == "--configfile":
            file, taking = word, ""
        elif taking in ("--config", "-C") and "=" in word:
            name, _, value = word.partition("=")
            keys[name] = yaml.safe_load(value)
    return file, keys


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_what_is_there(page):
    for line in commands(page.read_text(encoding="utf-8")):
        words = shlex.split(line)
        while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):  # variables before the command
            words = words[1:]
        if words[:3] == ["python", "-m", "aevb"] and len(words) > 3:
            assert words[3] in COMMANDS or words[3].isupper(), line
        elif words[:1] == ["python"] and words[1:2] != ["-m"]:
            assert words[1] == "-c" or (ROOT / words[1]).exists(), line
        elif words[:1] in (["./run"], ["snakemake"]) and words[1:2] != ["test"]:
            file, keys = options(words)
            if Path(file).name in OWN or not keys:
                assert Path(file).name in OWN or (ROOT / file).exists(), line
                continue
            raw = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
            config.load({**raw, **keys})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path) if path else page
        assert file.exists(), target
        if anchor and file.suffix == ".md":
            heads = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
            assert anchor in anchors, target
