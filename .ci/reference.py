"""The reference pages, made from the code: settings, YAML keys, functions, commands.

    .venv/bin/python .ci/reference.py           # write docs/reference/ again
    .venv/bin/python .ci/reference.py --check   # exit 1 where a page is out of date

Nothing is listed here by hand. A setting is any environment variable `MOTLAN_*` that the code reads, and its meaning is what
the docstring beside it says; a YAML key is a field of a pydantic model of `motlan/config/`; functions are the catalogue's, and
commands are those of the command line, benchmarks included.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import itertools
import os
import pkgutil
import re
import sys
import textwrap
import types
import typing
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pydantic_core
from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "reference"
READ = ("motlan", "plugins", "dags")
VARIABLE = re.compile(r"MOTLAN_[A-Z]+(_[A-Z]+)*_?")
MADE = "Made by `.ci/reference.py` from the code (`make docs`); do not edit.\n"
WIDTH = 100
SETTINGS_HEAD = f"""# Settings

{MADE}
Settings come from the environment. A default that is neither a text nor a number is the code's own expression.
Credentials and addresses of agencies are named in `adapters/agencies.yaml`: `${{NAME:-default}}`, and `credential: NAME`,
which is the variable `MOTLAN_CREDENTIAL_NAME` with `user:secret`, or in Airflow the connection `motlan_<agency>`. Each secret may
stand in a file instead: `MOTLAN_CREDENTIAL_NAME_FILE`, `MOTLAN_DATABASE_URL_FILE` and `MOTLAN_FEEDS_DATABASE_URL_FILE` name it.

Traces are kept where OpenTelemetry's own `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector (OTLP over HTTP).

"""
YAML_HEAD = f"""# YAML keys

{MADE}
A key that is not listed is refused, with file, line and the nearest known key.
"""
FUNCTIONS_HEAD = f"""# Functions

{MADE}
An expression calls these by position. A parameter that ends in `?` may be left out. Each example is a test on both engines.
What an expression may hold is in [expressions.md](../explanation/expressions.md).
"""


# Text


def cell(text: str) -> str:
    """Return a text as it may stand in a table: one line, no bar."""
    return re.sub(r"\s+", " ", text).strip().replace("|", "\\|")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a Markdown table."""
    names = list(head)
    lines = [names, ["---"] * len(names), *([cell(text) for text in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(value: object) -> str:
    """Return a value as code; empty where there is none."""
    return f"`{value}`" if value not in (None, "") else ""


def split_docstring(doc: str | None) -> tuple[str, dict[str, str]]:
    """Return what a docstring says, without its sections, and its attributes by name."""
    text = inspect.cleandoc(doc or "")
    body, _, rest = text.partition("\n\nAttributes:\n")
    body = re.split(r"\n\n(?:Args|Returns|Raises|Yields):\n", body)[0]
    found: dict[str, str] = {}
    for line in re.split(r"\n\n\S", rest)[0].splitlines():
        if named := re.match(r" {4}(\w+): (.*)", line):
            found[last := named.group(1)] = named.group(2)
        elif found:
            found[last] += " " + line.strip()
    return body.strip(), found


def documented(owner: ast.AST) -> dict[str, str]:
    """Return the strings that stand behind assignments of a class or module, by the assigned name."""
    body = getattr(owner, "body", [])
    found = {}
    for statement, after in itertools.pairwise(body):
        targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
        doc = after.value if isinstance(after, ast.Expr) else None
        if isinstance(doc, ast.Constant) and isinstance(doc.value, str):
            found |= {name.id: inspect.cleandoc(doc.value) for name in targets if isinstance(name, ast.Name)}
    return found


# Settings


@dataclasses.dataclass
class Setting:
    """An environment variable: its default as the code has it, its meaning, the file that reads it."""

    name: str
    default: str
    meaning: str
    file: str


def docstrings(tree: ast.Module) -> Iterator[str]:
    """Give all docstrings of a module, and the texts behind its assignments, the attributes of classes one by one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            body, attributes = split_docstring(ast.get_docstring(node))
            yield from attributes.values()
            yield from re.split(r"\n\n", body)
        if isinstance(node, ast.Module | ast.ClassDef):
            yield from documented(node).values()


def meaning_of(variable: str, tree: ast.Module, constants: dict[str, str]) -> str:
    """Return what a module's docstrings say of a variable, without the mention itself."""
    name = next((name for name, value in constants.items() if value == variable), None)
    if name and name in (behind := documented(tree)):
        return behind[name]
    for text in docstrings(tree):
        if f"`{variable}" in text:
            said = re.sub(rf" \(`{variable}`\)", "", text).removeprefix("Return ")
            return said[:1].upper() + said[1:]
    return ""


def read_variables(tree: ast.Module) -> dict[str, str]:
    """Return the variables that a module reads, with the expression that stands where one is absent."""
    constants = module_constants(tree)
    found: dict[str, str] = {}
    for node in ast.walk(tree):
        arguments = node.args if isinstance(node, ast.Call) else []
        name = arguments[0] if arguments else node.slice if isinstance(node, ast.Subscript) else None
        named = constants.get(name.id) if isinstance(name, ast.Name) else getattr(name, "value", None)
        if isinstance(named, str) and VARIABLE.fullmatch(named):
            default = arguments[1] if len(arguments) > 1 else None
            text = default.value if isinstance(default, ast.Constant) else default and ast.unparse(default)
            shown = "" if text is None else str(text)
            found[named] = found.get(named) or shown
    return found


def module_constants(tree: ast.Module) -> dict[str, str]:
    """Return the texts that a module gives names to."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def find_settings() -> list[Setting]:
    """Return every environment variable of ours that the code reads; the place that says what it means comes first."""
    found: dict[str, Setting] = {}
    paths = (path for folder in READ for path in (ROOT / folder).rglob("*.py"))
    for path in sorted(paths, key=lambda path: (path != ROOT / "motlan" / "settings.py", path)):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for name, default in read_variables(tree).items():
            meaning = meaning_of(name, tree, module_constants(tree))
            one = Setting(name, default, meaning, str(path.relative_to(ROOT)))
            if name not in found or (meaning and not found[name].meaning):
                found[name] = one
            found[name].default = found[name].default or default
    return sorted(found.values(), key=lambda one: one.name)


def settings_page() -> str:
    """Write the page of settings."""
    import motlan.settings

    found = find_settings()
    if silent := [one.name for one in found if not one.meaning]:
        raise SystemExit(
            f"{', '.join(silent)}: no docstring says in backticks what it means; write one beside the code."
        )
    rows = [(code(one.name), code(one.default), one.meaning, code(one.file)) for one in found]
    text = SETTINGS_HEAD
    text += table(("variable", "default", "meaning", "read in"), rows)
    return text + "".join(sizes_section(kind) for kind in vars(motlan.settings).values() if is_sizes(kind))


def is_sizes(kind: object) -> bool:
    """Whether something is a dataclass of the settings whose fields are all numbers with defaults."""
    if not (isinstance(kind, type) and dataclasses.is_dataclass(kind) and kind.__module__ == "motlan.settings"):
        return False
    return all(isinstance(field.default, int | float) for field in dataclasses.fields(kind))


def sizes_section(kind: type[Any]) -> str:
    """Write a group of sizes. A variable is the field's name where the docstring says that it is made of that."""
    doc, attributes = split_docstring(kind.__doc__)
    prefix = "MOTLAN_" if "`MOTLAN_` and its name in capitals" in doc else ""
    rows = [
        (
            code(f"{prefix}{field.name.upper()}" if prefix else field.name),
            code(field.default),
            attributes.get(field.name, ""),
        )
        for field in dataclasses.fields(kind)
    ]
    return f"\n## {kind.__name__}\n{doc}\n\n" + table(
        ("variable" if prefix else "attribute", "default", "meaning"), rows
    )


def class_source(kind: type) -> ast.ClassDef:
    """Return the syntax tree of a class."""
    node = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    assert isinstance(node, ast.ClassDef)
    return node


def shown_default(field: dataclasses.Field[Any]) -> object:
    """Return a dataclass field's default; None where it has none."""
    if field.default is not dataclasses.MISSING:
        return "none" if field.default is None else field.default
    return None if field.default_factory is dataclasses.MISSING else field.default_factory()


# YAML keys


def find_models() -> dict[types.ModuleType, list[type[BaseModel]]]:
    """Return the models of what is declared, by module: those whose docstring or module names a `.yaml`, and what they hold."""
    import motlan.config
    from motlan.config.files import Declared

    modules = [
        importlib.import_module(f"motlan.config.{one.name}") for one in pkgutil.iter_modules(motlan.config.__path__)
    ]
    of = {
        module: [
            kind for kind in vars(module).values() if is_model(kind, Declared) and kind.__module__ == module.__name__
        ]
        for module in modules
    }
    wanted = {kind for module, kinds in of.items() for kind in kinds if ".yaml" in f"{module.__doc__}{kind.__doc__}"}
    while more := {held for kind in wanted for held in models_held(kind)} - wanted:
        wanted |= more
    bases = {base for kind in wanted for base in kind.__mro__[1:]}
    chosen = {module: [kind for kind in kinds if kind in wanted - bases] for module, kinds in of.items()}
    return {module: kinds for module, kinds in chosen.items() if kinds}


def is_model(kind: object, base: type) -> bool:
    """Whether something is a model below a base."""
    return isinstance(kind, type) and issubclass(kind, base) and kind is not base


def models_held(kind: type[BaseModel]) -> set[type[BaseModel]]:
    """Return the models that a model's fields name."""
    found, waiting = set(), [field.annotation for field in kind.model_fields.values()]
    while waiting:
        one = waiting.pop()
        waiting += typing.get_args(one)
        found |= {one} if is_model(one, BaseModel) else set()
    return found


def type_words(kind: Any) -> str:
    """Return a type in words."""
    origin, held = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(code(value) for value in held)
    if origin is typing.Annotated:
        return type_words(held[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_words(one) for one in held if one is not type(None))
    if origin is list:
        return f"list of: {type_words(held[0])}"
    if origin is tuple:
        return " and ".join(type_words(one) for one in held)
    if origin is dict:
        return f"mapping of: {type_words(held[1])}"
    if is_model(kind, BaseModel):
        return f"[{kind.__name__}](#{kind.__name__.lower()})"
    return {"str": "text", "bool": "true or false", "int": "whole number", "float": "number", "Any": "anything"}.get(
        getattr(kind, "__name__", str(kind)), str(kind)
    )


def bounds_words(field: FieldInfo) -> str:
    """Return the bounds of a number or the least length of a list."""
    signs = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤", "min_length": "length ≥"}
    found = [
        f"{sign} {getattr(one, name)}" for one in field.metadata for name, sign in signs.items() if hasattr(one, name)
    ]
    return f" ({', '.join(found)})" if found else ""


def default_words(field: FieldInfo) -> str:
    """Return a field's default; `required` where it has none."""
    if field.is_required():
        return "required"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel):
        return "its own defaults"
    if default is None or default is pydantic_core.PydanticUndefined:
        return "none"
    if isinstance(default, bool):
        return code(str(default).lower())
    return code(default) if default or default == 0 else "empty"


def model_section(kind: type[BaseModel]) -> str:
    """Write one model: what it is, and its keys."""
    attributes: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if issubclass(base, BaseModel) and base is not BaseModel]):
        attributes |= documented(class_source(base)) | split_docstring(base.__doc__)[1]
    rows = [
        (
            code(field.alias or name),
            type_words(field.annotation) + bounds_words(field),
            default_words(field),
            field.description or attributes.get(name) or mentioned(name, attributes.values()),
        )
        for name, field in kind.model_fields.items()
    ]
    return f"### {kind.__name__}\n{split_docstring(kind.__doc__)[0]}\n\n" + table(
        ("key", "what", "default", "meaning"), rows
    )


def mentioned(name: str, texts: Iterable[str]) -> str:
    """Return the first text that speaks of a key too, such as "...; `this` likewise"."""
    return next((text for text in texts if f"`{name}`" in text), "")


def bound_classes() -> list[type]:
    """Return the dataclasses of `motlan.adapter` that are numbers with defaults: the bounds of a source."""
    import motlan.adapter

    kinds = [
        kind for kind in vars(motlan.adapter).values() if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ]
    return [kind for kind in kinds if all(isinstance(one.default, int | float) for one in dataclasses.fields(kind))]


def yaml_page() -> str:
    """Write the page of YAML keys."""
    text = YAML_HEAD
    for module, kinds in find_models().items():
        doc = split_docstring(module.__doc__)[0]
        text += f"\n## `{module.__name__.replace('.', '/')}.py`\n{doc.split(chr(10) * 2)[0]}\n"
        text += "".join(f"\n{model_section(kind)}" for kind in kinds)
    text += "\n## `motlan/adapter.py`\nBounds of a source: `limits` and `pace` in `agencies.yaml`.\n"
    text += "".join(map(dataclass_section, bound_classes()))
    text += "\n## `adapters/`\n`options` of a dataset, by its adapter.\n"
    return text + "".join(map(dataclass_section, option_classes()))


def dataclass_section(kind: type[Any]) -> str:
    """Write one dataclass: what it is, and its fields."""
    behind: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if dataclasses.is_dataclass(base)]):
        behind |= documented(class_source(base))
    rows = [
        (
            code(one.name),
            "required" if shown_default(one) is None else code(shown_default(one)) or "empty",
            behind.get(one.name, ""),
        )
        for one in dataclasses.fields(kind)
    ]
    return f"\n### {kind.__name__}\n{split_docstring(kind.__doc__)[0]}\n\n" + table(("key", "default", "meaning"), rows)


def option_classes() -> list[type[Any]]:
    """Return the dataclasses `...Options` of the adapters."""
    import adapters

    names = [one.name for one in pkgutil.walk_packages(adapters.__path__, "adapters.")]
    kinds = {kind for name in names for kind in vars(importlib.import_module(name)).values() if isinstance(kind, type)}
    found = [kind for kind in kinds if kind.__name__.endswith("Options") and dataclasses.is_dataclass(kind)]
    return sorted(found, key=lambda kind: kind.__name__)


# Functions


def functions_page() -> str:
    """Write the page of functions."""
    from motlan.config import registry
    from motlan.expressions import catalogue

    registry.load(ROOT)
    packages = getattr(catalogue, "installed", lambda: types.SimpleNamespace(packages=()))().packages
    groups: list[tuple[str, dict[str, Any]]] = [(one.name, dict(one.functions)) for one in packages if one.functions]
    groups = groups or [("all", dict(catalogue.FUNCTIONS))]
    text = FUNCTIONS_HEAD
    for name, functions in groups:
        text += f"\n## {name}\n" if len(groups) > 1 else ""
        text += "".join(f"\n{function_section(functions[one])}" for one in sorted(functions))
    return text


def function_section(function: Any) -> str:
    """Write one function: its signature, what it answers, examples."""
    text = f"### {function.name}\n`{function.signature}`\n\n{function.doc}\n"
    if choices := [f"`{one.name}`: {', '.join(map(code, one.choices))}" for one in function.parameters if one.choices]:
        text += f"\n{'; '.join(choices)}.\n"
    lines = [f"{function.name}({', '.join(map(repr, given))})  ->  {answer!r}" for given, answer in function.examples]
    return text + "\n```text\n" + "\n".join(lines) + "\n```\n"


# Commands


def commands_page() -> str:
    """Write the page of commands."""
    os.environ.setdefault("MOTLAN_HOME", str(ROOT))
    import typer

    from motlan.cli.main import app

    text = f"# Commands\n\n{MADE}"
    return text + "".join(command_sections(typer.main.get_command(app), "motlan"))


def command_sections(command: Any, path: str) -> Iterator[str]:
    """Give the help of a command, then that of those below it."""
    context = command.context_class(command, info_name=path, terminal_width=WIDTH, max_content_width=WIDTH)
    shown = re.sub(r"\n\n(?=  motlan )", "\n", command.get_help(context))
    lines = "\n".join(line.rstrip() for line in shown.splitlines())
    yield f"\n{'##' if path.count(' ') < 2 else '###'} {path}\n```text\n{lines}\n```\n"
    for name in sorted(getattr(command, "commands", {})):
        yield from command_sections(command.get_command(context, name), f"{path} {name}")


def pages() -> dict[Path, str]:
    """Return all pages: path -> content."""
    sys.path.insert(0, str(ROOT))
    makers = {"settings": settings_page, "yaml-keys": yaml_page, "functions": functions_page, "commands": commands_page}
    return {PAGES / f"{name}.md": make() for name, make in makers.items()}


def main(check: bool) -> int:
    """Write the pages, or check them. Returns the exit code."""
    stale = []
    for path, content in pages().items():
        if not path.exists() or path.read_text(encoding="utf-8") != content:
            stale.append(path)
            if not check:
                path.write_text(content, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"out of date: {', '.join(path.name for path in stale)} in docs/reference/: run make docs\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
