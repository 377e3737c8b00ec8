"""Numbers and lists as words, the same everywhere: in messages, figures, tables and texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import numpy as np


def number(value: float, digits: int = 2, sign: bool = False) -> str:
    """A number with a fixed count of decimals and a true minus sign; a dash where there is none."""
    if value is None or not np.isfinite(value):
        return "–"
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "−")


def span(mean: float, low: float, high: float, digits: int = 2, sign: bool = False) -> str:
    """'1.23 [1.10, 1.36]': a mean and its interval; the mean alone where there is none."""
    said, *ends = (number(value, digits, sign) for value in (mean, low, high))
    return f"{said} [{', '.join(ends)}]" if np.isfinite(low) else said


def span_of(row, name: str, digits: int = 2, sign: bool = False) -> str:
    """`span` of the attributes NAME, NAME_low and NAME_high of `row`."""
    return span(*(getattr(row, f"{name}{end}") for end in ("", "_low", "_high")), digits, sign)


def short(samples: int) -> str:
    """100000000 -> '1e8', 500000 -> '5e5', 1234567 -> '1.23457e6'."""
    mantissa, exponent = f"{samples:.6e}".split("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def count(samples: float) -> str:
    """A number of samples to three figures: 316200 -> '3.16e5'."""
    return short(int(float(f"{samples:.3g}")))


def joined(items: Iterable) -> str:
    """'a', 'a and b', 'a, b and c'."""
    items = [str(item) for item in items]
    if len(items) < 2:
        return items[0] if items else "none"
    return f"{', '.join(items[:-1])} and {items[-1]}"


def plural(amount: int, noun: str) -> str:
    """'1 seed', '3 seeds'."""
    return f"{amount} {noun}" if amount == 1 else f"{amount} {noun}s"


def duration(seconds: float) -> str:
    """90 -> '1.5 min'."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def one_line(text: str) -> str:
    """One short printable line: part of it may come from a server or a damaged file."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text.rstrip(".") if len(text) <= 200 else text[:200] + "..."


def reason(error: object) -> str:
    """Why, in one line: what an exception says, without its number."""
    return one_line(getattr(error, "strerror", None) or str(error) or type(error).__name__)


def brief(text: str, most: int = 60) -> str:
    """At most `most` printable characters of a text that may be anything."""
    text = one_line(text)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def nearest(word: str, valid: Iterable[str], given: Iterable[str] = ()) -> str:
    """'; did you mean ...?' with the valid name likest to `word`, else '; valid are ...'.

    Of two names equally like, one that is not `given` already.
    """
    likeness = {name: difflib.SequenceMatcher(None, name, str(word)).ratio() for name in valid}
    best = max(likeness, key=lambda name: (likeness[name], name not in given), default=None)
    if best is not None and likeness[best] >= 0.5:
        return f"; did you mean '{best}'?"
    return f"; valid are {brief(', '.join(likeness), 200)}"
