"""The page of every setting, made of the schema's types, of ``conf/`` and its comments, and of the classes behind them.

    python -m moe2_pl.cli.reference docs/reference/configuration.md

What a key means is said once, where it is defined: in the docstring of the class that it is given to, else in a comment
beside it in ``conf/``, else in one beside the schema's field. A key of which nothing is said is an error.
"""

import argparse
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

import omegaconf
import yaml

from moe2_pl.cli import _schema as schema
from moe2_pl.errors import ConfigError
from moe2_pl.pool import DeviceProfile, Expert, Network
from moe2_pl.selection import SearchOptions

__all__ = ["configuration_page"]

CONF = Path(__file__).parents[3] / "conf"
# The classes that settings are given to, whose docstrings say what they mean.
_GIVEN_TO: dict[type, type] = {
    schema.DeviceConf: DeviceProfile,
    schema.ExpertConf: Expert,
    schema.PlacementConf: Expert,
    schema.NetworkConf: Network,
    schema.SolverConf: SearchOptions,
}
# Groups whose options are put into a part of a pool, and what types them.
_PARTS = {"device": schema.DeviceConf, "network": schema.NetworkConf}
# Names of a pool stand for themselves; these groups' files hold no settings that the schema types.
_UNTYPED = {"output_tokens", "experiment", "hydra"}
_WIDE = 8


@dataclass(frozen=True)
class Option:
    """One file of a group.

    Args:
        name: of the file.
        says: the first sentence of its head comment.
        values: dotted key → value, those of the options that it builds on included.
        comments: dotted key → the comment beside or above it.
    """

    name: str
    says: str
    values: Mapping[str, Any]
    comments: Mapping[str, str]


def configuration_page(conf: Path = CONF) -> str:
    """The page, in Markdown.

    Args:
        conf: the folder of configuration files.

    Raises:
        ConfigError: a key of which nothing says what it means.
    """
    trained, evaluated = (_option(conf / f"{name}.yaml") for name in ("train", "evaluate"))
    chosen = _chosen(conf / "train.yaml")
    groups = sorted(path.name for path in conf.iterdir() if path.is_dir() and path.name not in _UNTYPED)
    typed = get_type_hints(schema.TrainConf)
    lines = [*_HEAD, "## Of a run", ""]
    own = [name for name in typed if name not in groups]
    lines += _table(_fields(schema.TrainConf, own, "", "", [trained], trained))
    lines += [
        "",
        "`evaluate.py` has the groups " + _listed(_groups_of(conf / "evaluate.yaml", groups)) + ", and:",
        "",
    ]
    lines += _table(_fields(schema.EvaluateConf, ["checkpoint", "sweep"], "", "", [evaluated], evaluated))
    for group in groups:
        options = [_option(path) for path in sorted((conf / group).glob("*.yaml"))]
        default = next((o for o in options if o.name == chosen.get(group)), Option("", "", {}, {}))
        conf_type = _PARTS.get(group) or typed[group]
        lines += ["", f"## {group}", "", *_options(group, options, chosen.get(group)), ""]
        if is_dataclass(conf_type):
            lines += _table(_fields(conf_type, None, _prefix(group), "", options, default))
        else:
            lines += _table(_below("", f"{group}.", options, default))
        if len(options) > _WIDE:
            lines += ["", *_matrix(options)]
    for group in ("output_tokens", "experiment"):
        options = [_option(path) for path in sorted((conf / group).glob("*.yaml"))]
        lines += ["", f"## {group}", "", *_options(group, options, None)]
    return "\n".join([*lines, *_TAIL, ""])


_HEAD = [
    "# Configuration",
    "",
    "<!-- Written by python -m moe2_pl.cli.reference docs/reference/configuration.md; edit conf/ or docstrings. -->",
    "",
    "Every key of `train.py` and `evaluate.py`. `group=option` on the command line chooses a file",
    "`conf/<group>/<option>.yaml`, `key=value` sets one value, `+key=value` adds one to a mapping; `--cfg job` prints",
    "a composed run. Hydra refuses unknown keys and wrong types before any work. *needed*: there is no default.",
    "",
]
_TAIL = [
    "",
    "## hydra",
    "",
    "Hydra's own settings: `hydra.run.dir=…` names the run folder, `hydra.sweep.dir=…` that of a multirun; launchers",
    "and sweepers are on the page about [sweeps](../how-to/sweeps.md), all others in `python train.py --hydra-help`.",
]


def _prefix(group: str) -> str:
    return {"device": "expert_pool.devices.<name>.", "network": "expert_pool.network."}.get(
        group, f"{group}."
    )


def _fields(
    conf_type: Any,
    names: Sequence[str] | None,
    prefix: str,
    inside: str,
    options: Sequence[Option],
    default: Option,
) -> Iterator[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each field, those of the dataclasses in it included."""
    hints = get_type_hints(conf_type)
    # Where the class or the schema says what a mapping is for, it is one row; else its keys are.
    known = _schema_comments(conf_type) | (
        _documented(_GIVEN_TO[conf_type]) if conf_type in _GIVEN_TO else {}
    )
    for item in fields(conf_type):
        if names is not None and item.name not in names:
            continue
        key, kind = f"{inside}{item.name}", hints[item.name]
        arguments = get_args(kind)
        nested = [o for o in options if any(k.startswith(f"{key}.") for k in o.values)]
        if is_dataclass(kind):
            yield from _fields(kind, None, prefix, f"{key}.", options, default)
            continue
        named = get_origin(kind) is dict and is_dataclass(arguments[1])
        if item.name not in known and nested and not named:
            yield from _below(f"{key}.", prefix, options, default)
            continue
        # Of a group's options only some hold a value that is a mapping in others.
        value = default.values.get(key, _field_default(item)) if not nested else _field_default(item)
        meaning = known.get(item.name) or _comment(key, options)
        if conf_type not in _GIVEN_TO and not named:
            meaning = _comment(key, options) or meaning
        yield f"{prefix}{key}", _type_name(kind), _shown(value), _said(f"{prefix}{key}", meaning)
        if named:
            yield from _fields(arguments[1], None, prefix, f"{key}.<name>.", [], default)


def _below(
    start: str, prefix: str, options: Sequence[Option], default: Option
) -> Iterator[tuple[str, str, str, str]]:
    """The keys of a mapping that the schema leaves open, as the options use them."""
    found = dict.fromkeys(key for o in options for key in o.values if key.startswith(start))
    for key in found:
        if key.endswith("._partial_"):
            continue
        value = next((o.values[key] for o in [default, *options] if key in o.values), None)
        users = [o.name for o in options if key in o.values]
        shown = _shown(value)
        if key not in default.values:
            shown += f" ({', '.join(users)})"
        meaning = "the class that is made" if key.endswith("_target_") else _comment(key, options)
        yield (
            f"{prefix}{key}",
            type(value).__name__ if value is not None else "any",
            shown,
            _said(prefix + key, meaning),
        )


def _said(key: str, meaning: str | None) -> str:
    if not meaning:
        raise ConfigError(
            f"nothing says what '{key}' means; say it in a comment beside it in conf/ or in moe2_pl/cli/_schema.py"
        )
    return re.sub(r"\bdocs/([\w/-]+\.md)", r"[\1](../\1)", meaning.replace("|", "\\|"))


def _comment(key: str, options: Sequence[Option]) -> str | None:
    """What some option says of a key; an override alone, such as ``key=2``, shows how to set it and says nothing."""
    said = (o.comments[key] for o in options if key in o.comments)
    return next((text for text in said if not re.fullmatch(r"[\w.]+=\S+", text)), None)


def _table(rows: Iterator[tuple[str, str, str, str]]) -> list[str]:
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return [*head, *(f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in rows)]


def _options(group: str, options: Sequence[Option], chosen: str | None) -> list[str]:
    rows = [
        f"| `{group}={o.name}`{' (default)' if o.name == chosen else ''} | {o.says.replace('|', chr(92) + '|')} |"
        for o in options
    ]
    return ["| option | what |", "| --- | --- |", *rows]


def _matrix(options: Sequence[Option]) -> list[str]:
    """The figures of many options side by side."""
    keys = dict.fromkeys(
        key
        for o in options
        for key, value in o.values.items()
        if isinstance(value, (int, float)) and "." not in key
    )
    rows = [
        f"| `{o.name}` | {' | '.join(_plain(o.values[k]) if k in o.values else '' for k in keys)} |"
        for o in options
    ]
    return [f"| option | {' | '.join(keys)} |", "| --- |" + " --- |" * len(keys), *rows]


def _option(path: Path) -> Option:
    """One file with what it builds on in its own folder."""
    text = path.read_text()
    head = re.match(r"(?:#.*\n)*", text)
    sentence = " ".join(line.lstrip("# ").strip() for line in head.group().splitlines()) if head else ""
    values: dict[str, Any] = {}
    comments: dict[str, str] = {}
    content = yaml.safe_load(text) or {}
    for entry in content.pop("defaults", []):
        if isinstance(entry, str) and entry != "_self_" and (path.parent / f"{entry}.yaml").is_file():
            base = _option(path.parent / f"{entry}.yaml")
            values |= base.values
            comments |= base.comments
    values |= _flat(content)
    comments |= _comments(text)
    sentence = re.split(r"\.(?:\s|$)", sentence.removeprefix("@package _global_ "))[0]
    return Option(path.stem, sentence, values, comments)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict) and value:
            found |= _flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def _comments(text: str) -> dict[str, str]:
    """Dotted key → the comment beside it, else the lines of comment above it, unless they head the file."""
    lines = text.splitlines()
    found: dict[str, str] = {}

    def visit(node: yaml.Node, prefix: str) -> None:
        if not isinstance(node, yaml.MappingNode):
            return
        for key, value in node.value:
            name, row = f"{prefix}{key.value}", key.start_mark.line
            beside = re.search(r"\s#\s+(.*)$", lines[row])
            above: list[str] = []
            for line in reversed(lines[:row]):
                if not line.lstrip().startswith("#"):
                    break
                above.insert(0, line.lstrip("# ").strip())
            if beside:
                found[name] = beside.group(1).strip()
            elif above and row > len(above):
                found[name] = " ".join(above)
            visit(value, f"{name}.")

    if (root := yaml.compose(text)) is not None:
        visit(root, "")
    return found


def _chosen(path: Path) -> dict[str, str]:
    """Group → its option, as the defaults list of a file has them."""
    entries = yaml.safe_load(path.read_text())["defaults"]
    return {group: option for entry in entries if isinstance(entry, dict) for group, option in entry.items()}


def _groups_of(path: Path, groups: Sequence[str]) -> list[str]:
    return [group for group in _chosen(path) if group in groups]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _documented(owner: type) -> dict[str, str]:
    """The Args section of a class: name → what is said of it, in one line."""
    text = inspect.getdoc(owner) or ""
    section = re.search(r"^Args:\n((?:    .*\n|\n)*)", text + "\n", re.MULTILINE)
    found: dict[str, str] = {}
    for names, said in re.findall(
        r"^    ([\w, ]+): ((?:.*\n)(?:        .*\n)*)", section.group(1) if section else "", re.M
    ):
        for name in names.split(","):
            found[name.strip()] = " ".join(said.split()).replace("``", "`").removesuffix(".")
    return found


def _schema_comments(conf_type: type) -> dict[str, str]:
    return dict(re.findall(r"^    (\w+): .*?  # (.*)$", inspect.getsource(conf_type), re.MULTILINE))


def _type_name(kind: Any) -> str:
    if kind is Any:
        return "any"
    if get_origin(kind) is UnionType:
        return " or ".join(_type_name(part) for part in get_args(kind))
    if kind is NoneType:
        return "null"
    if get_origin(kind) is list:
        return f"list of {_type_name(get_args(kind)[0])}" if get_args(kind)[0] is not Any else "list"
    return "mapping" if get_origin(kind) is dict else kind.__name__


def _field_default(item: Any) -> Any:
    if item.default_factory is not MISSING:
        return item.default_factory()
    return item.default


def _shown(value: Any) -> str:
    return "*needed*" if value in (omegaconf.MISSING, MISSING) else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return str(value).lower().replace("none", "null")
    return '""' if value == "" else str(value).replace("'", "").replace("|", "\\|")


def main() -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path, help="the file to write")
    parser.parse_args().page.write_text(configuration_page())


if __name__ == "__main__":
    main()
