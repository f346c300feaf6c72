"""The limits of buttons, selects and modals."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.discord.model import Json
from tests.fakes.discord.refusal import FormErrors, Unimplemented

ROW, BUTTON, SELECT, TEXT_INPUT = 1, 2, 3, 4
TEXT_DISPLAY, LABEL, FILE_UPLOAD, RADIOS, CHECKBOXES, CHECKBOX = 10, 18, 19, 21, 22, 23
AUTO_SELECTS = (5, 6, 7, 8)
_SELECTS = (SELECT, *AUTO_SELECTS)
_IN_LABELS = (*_SELECTS, TEXT_INPUT, FILE_UPLOAD, RADIOS, CHECKBOXES, CHECKBOX)
_LINK_STYLE, _STYLES = 5, (1, 2, 3, 4, 5)
_CHOICES_LIMIT: Mapping[int, tuple[int, int]] = {
    SELECT: (1, 25),
    RADIOS: (2, 10),
    CHECKBOXES: (1, 10),
}


def check_message_components(errors: FormErrors, rows: object) -> None:
    """At most five rows: each of up to five buttons, or one select."""
    if not isinstance(rows, list):
        errors.add("components", "LIST_TYPE_CONVERT", "Only iterables may be used in a ListType")
        return
    errors.check_count("components", len(rows), most=5)
    seen: set[str] = set()
    for i, row in enumerate(rows):
        _check_row(errors, f"components.{i}", row, seen)


def check_modal(data: Json) -> None:
    """A title, an id, and one to five inputs."""
    errors = FormErrors("data.")
    errors.check_length("title", str(data.get("title") or ""), least=1, most=45)
    errors.check_length("custom_id", str(data.get("custom_id") or ""), least=1, most=100)
    rows = data.get("components") or []
    errors.check_count("components", len(rows), least=1, most=5)
    seen: set[str] = set()
    for i, row in enumerate(rows):
        where = f"components.{i}"
        match row.get("type"):
            case 1:
                inner = row.get("components") or []
                errors.check_count(f"{where}.components", len(inner), least=1, most=1)
                for j, item in enumerate(inner):
                    place = f"{where}.components.{j}"
                    if _is_one_of(errors, place, item, (TEXT_INPUT,)):
                        label = str(item.get("label") or "")
                        errors.check_length(f"{place}.label", label, least=1, most=45)
                        _check_input(errors, place, item, seen)
            case 18:
                errors.check_length(f"{where}.label", str(row.get("label") or ""), least=1, most=45)
                told = str(row.get("description") or "")
                errors.check_length(f"{where}.description", told, most=100)
                item = row.get("component") or {}
                if _is_one_of(errors, f"{where}.component", item, _IN_LABELS):
                    _check_input(errors, f"{where}.component", item, seen)
            case 10:
                content = str(row.get("content") or "")
                errors.check_length(f"{where}.content", content, least=1, most=4000)
            case _:
                _is_one_of(errors, where, row, (ROW, TEXT_DISPLAY, LABEL))
    errors.raise_if_any()


def numbered(components: list[Json]) -> list[Json]:
    """The components with the numeric ids that Discord gives those without one."""
    taken = {item["id"] for item in walk(components) if item.get("id")}
    free = (number for number in range(1, 1000) if number not in taken)
    return [_number(item, free) for item in components]


def walk(components: list[Json]) -> Iterator[Json]:
    """Every component, those inside others too."""
    for item in components:
        yield item
        inner = [item["component"]] if "component" in item else item.get("components", [])
        yield from walk(inner)


def find(components: list[Json], custom_id: str) -> Json | None:
    """The component with that id."""
    return next((item for item in walk(components) if item.get("custom_id") == custom_id), None)


def _number(item: Json, free: Iterator[int]) -> Json:
    told = item | {"id": item.get("id") or next(free)}
    if "component" in item:
        told["component"] = _number(item["component"], free)
    if "components" in item:
        told["components"] = [_number(inner, free) for inner in item["components"]]
    return told


def _check_row(errors: FormErrors, where: str, row: Json, seen: set[str]) -> None:
    kind = row.get("type")
    if isinstance(kind, int) and 9 <= kind <= 17:
        raise Unimplemented(f"components of version 2 (type {kind})")
    if not _is_one_of(errors, where, row, (ROW,)):
        return
    items = row.get("components") or []
    has_select = any(item.get("type") in _SELECTS for item in items)
    errors.check_count(f"{where}.components", len(items), least=1, most=1 if has_select else 5)
    for j, item in enumerate(items):
        place = f"{where}.components.{j}"
        if _is_one_of(errors, place, item, (BUTTON, *_SELECTS)):
            if item["type"] == BUTTON:
                _check_button(errors, place, item, seen)
            else:
                _check_input(errors, place, item, seen)


def _check_button(errors: FormErrors, where: str, item: Json, seen: set[str]) -> None:
    errors.check_length(f"{where}.label", str(item.get("label") or ""), most=80)
    if not item.get("label") and not item.get("emoji"):
        errors.add(where, "BUTTON_COMPONENT_INVALID", "A button must have a label or an emoji")
    if item.get("style") not in _STYLES:
        errors.add(f"{where}.style", "BASE_TYPE_CHOICES", f"Value must be one of {_STYLES}.")
    elif item["style"] == _LINK_STYLE:
        if not item.get("url"):
            errors.add(f"{where}.url", "BASE_TYPE_REQUIRED", "This field is required")
        if item.get("custom_id"):
            message = "A custom id and url cannot both be specified"
            errors.add(where, "BUTTON_COMPONENT_CUSTOM_ID_URL", message)
    else:
        _check_custom_id(errors, where, item, seen)


def _check_input(errors: FormErrors, where: str, item: Json, seen: set[str]) -> None:
    _check_custom_id(errors, where, item, seen)
    kind = item["type"]
    if kind == TEXT_INPUT:
        errors.check_length(f"{where}.value", str(item.get("value") or ""), most=4000)
        _check_range(errors, where, item, names=("min_length", "max_length"), most=4000)
        errors.check_length(f"{where}.placeholder", str(item.get("placeholder") or ""), most=100)
        if item.get("style") not in (1, 2):
            errors.add(f"{where}.style", "BASE_TYPE_CHOICES", "Value must be one of (1, 2).")
        return
    if kind in _SELECTS:
        errors.check_length(f"{where}.placeholder", str(item.get("placeholder") or ""), most=150)
    if kind in _CHOICES_LIMIT:
        _check_options(errors, where, item, _CHOICES_LIMIT[kind])
    _check_range(errors, where, item, names=("min_values", "max_values"), most=25)


def _check_options(errors: FormErrors, where: str, item: Json, limit: tuple[int, int]) -> None:
    options = item.get("options") or []
    errors.check_count(f"{where}.options", len(options), least=limit[0], most=limit[1])
    values: set[str] = set()
    for k, option in enumerate(options):
        place = f"{where}.options.{k}"
        errors.check_length(f"{place}.label", str(option.get("label") or ""), least=1, most=100)
        errors.check_length(f"{place}.value", str(option.get("value") or ""), least=1, most=100)
        errors.check_length(f"{place}.description", str(option.get("description") or ""), most=100)
        if option.get("value") in values:
            message = "The specified option value is already used"
            errors.add(f"{place}.value", "SELECT_COMPONENT_OPTION_VALUE_DUPLICATED", message)
        values.add(str(option.get("value")))
    if int(item.get("max_values") or 1) > len(options):
        message = f"Value must be less than or equal to {len(options)}"
        errors.add(f"{where}.max_values", "SELECT_COMPONENT_MAX_VALUES", message)


def _check_custom_id(errors: FormErrors, where: str, item: Json, seen: set[str]) -> None:
    custom_id = str(item.get("custom_id") or "")
    errors.check_length(f"{where}.custom_id", custom_id, least=1, most=100)
    if custom_id in seen:
        message = "Component custom id cannot be duplicated"
        errors.add(f"{where}.custom_id", "COMPONENT_CUSTOM_ID_DUPLICATED", message)
    seen.add(custom_id)


def _check_range(
    errors: FormErrors, where: str, item: Json, *, names: tuple[str, str], most: int
) -> None:
    for name in names:
        if not 0 <= int(item.get(name) or 0) <= most:
            message = f"int value should be less than or equal to {most}."
            errors.add(f"{where}.{name}", "NUMBER_TYPE_MAX", message)


def _is_one_of(errors: FormErrors, where: str, item: Any, kinds: tuple[int, ...]) -> bool:
    if isinstance(item, dict) and item.get("type") in kinds:
        return True
    errors.add(f"{where}.type", "BASE_TYPE_CHOICES", f"Value must be one of {kinds}.")
    return False
