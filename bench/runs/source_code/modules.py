"""The top level of a source file: the names that it binds, and the statements that bind them."""

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Import:
    """Target of a name: a module, or a symbol of a module."""

    module: str
    symbol: str | None


@dataclass(frozen=True, eq=False)
class Module:
    """The top level of one source file, without docstrings."""

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """Statements that bind a name."""
    imports: dict[str, Import] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that bind nothing, such as a call; part of every definition of the module."""


def source_of(module: str) -> Module | None:
    """The parsed module, found without importing it; None if it has no Python source."""
    path = file_of(module)
    return None if path is None else _parsed(module, path, path.stat().st_mtime_ns)


@cache
def _parsed(module: str, path: Path, changed: int) -> Module:
    """Parse a module. `changed` is the modification time: an edited file is parsed again."""
    source = Module(module)
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        for name in ("body", "orelse", "finalbody"):
            statements = getattr(node, name, None)
            if isinstance(statements, list):
                setattr(node, name, [one for one in statements if not _is_text(one)])
    for statement in tree.body:
        _collect(statement, source, path.name == "__init__.py")
    return source


def _is_text(statement: ast.AST) -> bool:
    """Whether a statement is a docstring."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _collect(statement: ast.stmt, source: Module, is_package: bool) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        source.imports.update(imported_names(statement, source.name, is_package))
        return
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        for inner in statement.body:
            _collect(inner, source, is_package)
        return
    names = list(_bound(statement))
    for name in names:
        source.definitions.setdefault(name, []).append(statement)
    if not names:
        source.effects.append(statement)


def _bound(statement: ast.stmt) -> Iterator[str]:
    """Names that a top-level statement binds, also inside `if`, `try` and `with`."""
    match statement:
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
            yield name
        case ast.Assign() | ast.AnnAssign() | ast.AugAssign() | ast.For() | ast.With():
            yield from (n.id for n in ast.walk(statement) if isinstance(n, ast.Name) and _stored(n))
        case ast.If() | ast.Try():
            for inner in ast.iter_child_nodes(statement):
                if isinstance(inner, ast.stmt):
                    yield from _bound(inner)
        case ast.Import(names) | ast.ImportFrom(_, names):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in names)


def _stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def imported_names(
    statement: ast.Import | ast.ImportFrom, module: str, is_package: bool = False
) -> dict[str, Import]:
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: Import(
                alias.name if alias.asname else alias.name.partition(".")[0], None
            )
            for alias in statement.names
        }
    base = statement.module or ""
    if statement.level:
        levels = statement.level - 1 if is_package else statement.level
        parents = module.split(".")
        base = ".".join([*parents[: len(parents) - levels], *filter(None, [base])])
    return {alias.asname or alias.name: Import(base, alias.name) for alias in statement.names}


def file_of(module: str) -> Path | None:
    """The module's file. `find_spec` gets the root package only, because for `a.b` it would import `a`."""
    root, *inner = module.split(".")
    try:
        spec = importlib.util.find_spec(root)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not spec.submodule_search_locations:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") and not inner else None
    for place in spec.submodule_search_locations:
        stem = Path(place, *inner)
        for path in (stem.with_name(stem.name + ".py"), stem / "__init__.py"):
            if path.is_file() and (inner or path.name == "__init__.py"):
                return path
    return None
