"""Digests of the code that a class depends on, independent of comments, docstrings, layout and module.

Starting at a class, every top-level definition that it reaches through names and imports, inside its own
package and a shared one, is hashed as a syntax tree without docstrings. Definitions are identified by
their name, not by their module: moving a function to another file or editing a docstring changes no digest.
"""

import ast
import importlib.util
from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from bench.runs.fingerprint import digest

METHODS = "methods"
"""Definitions in this package are followed from every method, custom ones included."""


@dataclass(frozen=True)
class Import:
    """Target of a name: a module, or a symbol of a module."""

    module: str
    symbol: str | None


@dataclass(frozen=True)
class Definition:
    """A definition's digest, and the names that it uses."""

    digest: str
    references: list[Import]


@dataclass(frozen=True)
class Module:
    """The top level of one source file."""

    name: str
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    """Statements that bind a name."""
    imports: dict[str, Import] = field(default_factory=dict)
    effects: list[ast.stmt] = field(default_factory=list)
    """Statements that bind nothing, such as a call; part of every definition of the module."""
    known: dict[tuple[str, frozenset[str]], Definition] = field(default_factory=dict, compare=False)
    """Definitions that were digested before, by name and packages."""


def definition_digests(module: str, name: str, *, shared: str = METHODS) -> dict[str, str]:
    """Digests, by name, of all definitions that `module.name` depends on, itself included.

    Definitions are followed inside the package of `module` and inside `shared`.
    Where several definitions in different modules have one name, their digests are joined in sorted order.
    """
    packages = {module.partition(".")[0], shared}
    found: dict[str, set[str]] = {}
    seen: set[tuple[str, str]] = set()
    queue = [(module, name)]
    while queue:
        place = queue.pop()
        if place in seen:
            continue
        seen.add(place)
        source = _source_of(place[0])
        if source is None:
            continue
        if place[1] in source.imports and place[1] not in source.definitions:
            queue += _places(source.imports[place[1]], packages)
            continue
        if place[1] not in source.definitions:
            continue
        definition = _definition(source, place[1], frozenset(packages))
        found.setdefault(place[1], set()).add(definition.digest)
        queue += [place for ref in definition.references for place in _places(ref, packages)]
    return {name: "+".join(sorted(digests)) for name, digests in sorted(found.items())}


def _definition(source: Module, name: str, packages: frozenset[str]) -> Definition:
    """One definition of a module. Kept with the module, because many methods and metrics reach it."""
    if (name, packages) not in source.known:
        statements = [*source.definitions[name], *source.effects]
        references = list(dict.fromkeys(_references(statements, source)))
        external = sorted({f"{ref.module}.{ref.symbol}" for ref in references if not _inside(ref, packages)})
        source.known[name, packages] = Definition(_digest(statements, external, packages), references)
    return source.known[name, packages]


def _places(reference: Import, packages: Collection[str]) -> Iterator[tuple[str, str]]:
    """Module and name of a reference's definition; a module used as a whole gives all its definitions."""
    if not _inside(reference, packages):
        return
    module = _module_of(reference)
    if not module and reference.symbol is not None:
        yield reference.module, reference.symbol
        return
    source = _source_of(module)
    yield from ((module, name) for name in (source.definitions if source else ()))


def _inside(reference: Import, packages: Collection[str]) -> bool:
    return reference.module.partition(".")[0] in packages


def _references(statements: list[ast.stmt], source: Module) -> Iterator[Import]:
    """Every name that the statements use and that the module, or an import inside them, binds."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    local: dict[str, Import] = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            local |= _imported(node, source.name)
    imports = {**source.imports, **local}
    attributes = {
        id(node.value): Import(module, node.attr)
        for node in nodes
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in imports
        and (module := _module_of(imports[node.value.id]))
    }
    for node in nodes:
        if not isinstance(node, ast.Name):
            continue
        if id(node) in attributes:
            yield attributes[id(node)]
        elif node.id in local:
            yield local[node.id]
        elif node.id in source.definitions:
            yield Import(source.name, node.id)
        elif node.id in imports:
            yield imports[node.id]


def _module_of(reference: Import) -> str:
    """The module that an imported name refers to; empty if it refers to a symbol."""
    if reference.symbol is None:
        return reference.module
    name = f"{reference.module}.{reference.symbol}"
    return name if _file_of(name) is not None else ""


def _digest(statements: list[ast.stmt], external: list[str], packages: Collection[str]) -> str:
    # `ast.unparse` and not `ast.dump`, whose text differs between versions of Python.
    plain = [_Plain(packages).visit(deepcopy(statement)) for statement in statements]
    return digest("\n".join([*(ast.unparse(node) for node in plain if node), *external]))


class _Plain(ast.NodeTransformer):
    """Removes docstrings, and imports whose definitions are followed instead."""

    def __init__(self, packages: Collection[str]) -> None:
        self.packages = packages

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return None if is_text else self.generic_visit(node)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        inside = node.level > 0 or (node.module or "").partition(".")[0] in self.packages
        return None if inside else node


def _source_of(module: str) -> Module | None:
    """The parsed module, found without importing it; None if it has no Python source."""
    path = _file_of(module)
    return None if path is None else _parsed(module, path, path.stat().st_mtime_ns)


@cache
def _parsed(module: str, path: Path, changed: int) -> Module:
    """Parse a module. `changed` is the modification time: an edited file is parsed again."""
    source = Module(module)
    for statement in ast.parse(path.read_bytes()).body:
        _collect(statement, source, path.name == "__init__.py")
    return source


def _collect(statement: ast.stmt, source: Module, is_package: bool) -> None:
    if isinstance(statement, ast.Import | ast.ImportFrom):
        source.imports.update(_imported(statement, source.name, is_package))
        return
    if isinstance(statement, ast.If) and "TYPE_CHECKING" in ast.unparse(statement.test):
        for inner in statement.body:
            _collect(inner, source, is_package)
        return
    if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
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


def _imported(
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


def _file_of(module: str) -> Path | None:
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
