"""What is wrong with a configuration, in one sentence that says what to write."""

from __future__ import annotations

from pydantic import BaseModel, ValidationError

from ..core.words import brief, nearest

MOST_PROBLEMS = 3  # that one message names
#: pydantic's kind of error -> what to write, where its own words say less
PLAIN = {
    "too_short": "it must not be empty",
    "list_type": "it must be a list, in brackets",
    "dict_type": "it must be a section, as {KEY: VALUE}",
    "model_type": "it must be a section, as {KEY: VALUE}",
    "model_attributes_type": "it must be a section, as {KEY: VALUE}",
    "int_parsing": "it must be a whole number",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_parsing": "it must be a number",
}


def sentences(
    error: ValidationError,
    model: type[BaseModel] | None = None,
    raw: dict | None = None,
    prefix: str = "",
) -> str:
    """What pydantic found in `raw`, read as `model`.

    That is each key, under `prefix`, what is wrong with it and the nearest valid name.
    """
    problems = []
    items = error.errors()
    # Without its plug-ins, a configuration names much that is not there.
    plugins = [item for item in items if item["loc"][:1] == ("plugins",)]
    for item in plugins or items:
        where = brief(".".join(filter(None, [prefix, *map(str, item["loc"])])), 150)
        found = brief(repr(item["input"]))
        if item["type"] == "extra_forbidden":
            given = _given(raw, item["loc"]) if raw else ()
            valid = nearest(item["loc"][-1], _fields(model, item["loc"]), given)
            problems.append(f"unknown key '{where}'{valid}")
        elif item["type"] == "value_error":
            what = str(item["ctx"]["error"])
            problems.append(f"'{where}' is {found}: {what}" if where else what)
        elif item["type"] == "missing":
            problems.append(f"'{where}' is missing{_wanted(model, item['loc'])}")
        else:
            words = item["msg"].replace("Input should be", "it must be")
            what = PLAIN.get(item["type"], words[0].lower() + words[1:])
            if item["type"] == "too_short" and item["ctx"]["min_length"] > 1:
                what = f"it must have {item['ctx']['min_length']} entries or more"
            if item["type"] == "list_type" and isinstance(item["input"], (int, float, str)):
                what = f"it must be a list, in brackets: [{item['input']}]"
            problems.append(f"'{where}' is {found}: {what}{_wanted(model, item['loc'])}")
    more = len(problems) - MOST_PROBLEMS
    return "; ".join([*problems[:MOST_PROBLEMS], *([f"and {more} more"] if more > 0 else [])])


def _at(model: type[BaseModel] | None, path) -> type[BaseModel] | None:
    """The model of the section that holds the key at `path`."""
    for step in path[:-1]:
        if isinstance(step, int) or model is None:
            continue
        field = model.model_fields.get(step)
        if field is None:  # a key of a dictionary of models (experiments)
            continue
        inner = [field.annotation]
        while inner and not (isinstance(inner[0], type) and issubclass(inner[0], BaseModel)):
            inner = [*inner[1:], *getattr(inner[0], "__args__", ())]
        model = inner[0] if inner else model
    return model


def _fields(model: type[BaseModel] | None, path) -> list[str]:
    """The valid keys beside the unknown key that pydantic reports at `path`."""
    section = _at(model, path)
    return list(section.model_fields) if section else []


def _wanted(model: type[BaseModel] | None, path) -> str:
    """What to write for the key at `path`: its meaning, in brackets."""
    while path and isinstance(path[-1], int):  # an item of a list
        path = path[:-1]
    field = (section := _at(model, path)) and section.model_fields.get(path[-1])
    return f" ({field.description})" if field and field.description else ""


def _given(raw, path) -> set[str]:
    """The keys at the place of the one at `path`, itself among them."""
    for step in path[:-1]:
        raw = raw[step]
    return set(raw)
