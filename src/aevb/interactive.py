"""Bokeh plots in a page: the library and the plots as text, with nothing that is fetched and equal bytes for equal plots."""

from __future__ import annotations

import re

from bokeh.embed import components
from bokeh.model import Model
from bokeh.resources import Resources

#: what Bokeh counts up or draws at random: ids of models and of elements
IDS = re.compile(r'(?<=")p\d{4,}(?=")|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}')


def library() -> str:
    """BokehJS as one script, without the parts for widgets, tables, formulas and WebGL."""
    return "\n".join(Resources(mode="inline", components=["bokeh"], log_level="warn").js_raw)


def embed(plots: dict[str, Model]) -> tuple[str, dict[str, str]]:
    """A script that draws `plots`, and by their names the elements to draw them in."""
    script, elements = components(plots, wrap_script=False)
    ids: dict[str, str] = {}

    def settled(text: str) -> str:
        return IDS.sub(lambda found: ids.setdefault(found[0], f"bokeh{len(ids)}"), text)

    return settled(script), {name: settled(element) for name, element in elements.items()}
