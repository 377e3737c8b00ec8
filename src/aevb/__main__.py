"""The command line: python -m aevb COMMAND ..."""

from __future__ import annotations

import importlib
import io
import os
import sys

from .core.errors import UserError

#: command -> the module whose `main(arguments)` it calls, and what it does
COMMANDS = {
    "run": ("pipeline.local", "train and estimate a study in one process, without Snakemake"),
    "unpack": ("pipeline.unpack", "continue a committed study: its run files from gathered.h5"),
    "check": ("pipeline.check", "make parts of a reference run anew and compare the numbers"),
    "cost": ("pipeline.cost", "what a study trains, and how long that takes on this machine"),
    "configuration": (
        "config.reference",
        "print the reference of all configuration keys (Markdown)",
    ),
    "claims": ("paper.catalogue", "print the claims and their rules (Markdown)"),
    "readme": ("report.pages", "put the answer of a study into a README"),
}


def usage() -> str:
    """What there is, one line per command."""
    lines = [f"  {name:15}{about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(
        ["usage: python -m aevb COMMAND ...", "", *lines, "", "`--help` after a command says more."]
    )


def main(arguments: list[str]) -> None:
    """Call the command that `arguments` name. Raises SystemExit with one sentence for a mistake."""
    command, *rest = arguments or ["--help"]
    if command in ("-h", "--help"):
        print(usage())
        return
    if command not in COMMANDS:
        sys.exit(f"error: there is no command '{command}'\n\n{usage()}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    try:
        importlib.import_module(f"aevb.{COMMANDS[command][0]}").main(rest)
        sys.stdout.flush()
    except UserError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit("stopped by Ctrl-C; run again to resume")


if __name__ == "__main__":
    main(sys.argv[1:])
