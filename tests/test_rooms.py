"""Who imports whom in the package: rooms in their order and by what is public, folders inside a room one way."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import moe2_pl

PACKAGE = Path(moe2_pl.__file__).parent
# A room imports only from rooms before it.
ROOMS = (
    "errors", "files", "_ray", "pool", "questions", "experts", "outputs", "gate", "selection", "certificate",
    "planning", "report", "cli",
)  # fmt: skip
# Folders of code that hold folders of code.
PARENTS = sorted({path.parents[1] for path in PACKAGE.glob("*/**/_*/__init__.py")})

Module = tuple[str, ...]


def _imports() -> set[tuple[Module, Module]]:
    """Pairs of a module of the package and one that it imports, anywhere in its text; paths below the package."""
    found = set()
    for file in PACKAGE.rglob("*.py"):
        importer = file.relative_to(PACKAGE).with_suffix("").parts
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}: a relative import"
                private = [f".{alias.name}" for alias in node.names if alias.name.startswith("_")]
                names = [f"{node.module}{name}" for name in private or [""]]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            paths = (tuple(name.split(".")) for name in names)
            found |= {(importer, path[1:]) for path in paths if path[0] == "moe2_pl" and len(path) > 1}
    return found


IMPORTS = _imports()


def test_a_room_imports_only_rooms_before_it_and_only_what_they_show():
    seen = set()
    for importer, imported in IMPORTS:
        room, other = importer[0], imported[0]
        if other == room:
            continue
        what = f"{'/'.join(importer)}.py imports moe2_pl.{'.'.join(imported)}"
        assert ROOMS.index(other) < ROOMS.index(room), what
        assert not any(part.startswith("_") for part in imported[1:]), f"{what}, which is private"
        seen.add((room, other))
    assert {
        ("cli", "report"),
        ("outputs", "experts"),
        ("certificate", "selection"),
        ("planning", "certificate"),
        ("report", "planning"),
    } <= seen


@pytest.mark.parametrize("folder", PARENTS, ids=lambda folder: str(folder.relative_to(PACKAGE)))
def test_folders_inside_a_room_import_one_way(folder):
    inside = folder.relative_to(PACKAGE).parts
    depth = len(inside)
    # Between what lies in the folder: modules, and folders as one each.
    after = defaultdict(set)
    for importer, imported in IMPORTS:
        if importer[:depth] == imported[:depth] == inside:
            part, other = importer[depth], (*imported, "__init__")[depth]
            after[part] |= {other} - {part}
    # Modules may name each other's types, so only ways that come back to a folder are cycles.
    for part in (path.parent.name for path in folder.glob("*/__init__.py")):
        ways, seen = [[part]], set()
        while ways:
            way = ways.pop()
            assert way[-1] != part or len(way) == 1, f"a cycle of imports: {' → '.join(way)}"
            if way[-1] not in seen:
                seen.add(way[-1])
                ways += [[*way, other] for other in after[way[-1]]]
