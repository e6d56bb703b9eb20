"""Digests of the code that a class depends on, independent of comments, docstrings, layout and module.

Starting at a class, every top-level definition that it reaches through names and imports, inside its own
package and a shared one, is hashed as a syntax tree without docstrings. Definitions are identified by
their name, not by their module: moving a function to another file or editing a docstring changes no digest.
"""

import ast
from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

from bench.runs.fingerprint import digest
from bench.runs.source_code.modules import Import, Module, file_of, imported_names, source_of

METHODS = "methods"
"""Definitions in this package are followed from every method, custom ones included."""
Place = tuple[str, str | None]
"""A module, and the name of one of its definitions; None for all of them."""


@dataclass(frozen=True)
class Definition:
    """A definition's digest, and the definitions that it uses."""

    digest: str
    uses: list[Place]


def definition_digests(module: str, name: str, *, shared: str = METHODS) -> dict[str, str]:
    """Digests, by name, of all definitions that `module.name` depends on, itself included.

    Definitions are followed inside the package of `module` and inside `shared`.
    Where several definitions in different modules have one name, their digests are joined in sorted order.
    """
    packages = {module.partition(".")[0], shared}
    found: dict[str, set[str]] = {}
    sources: dict[str, Module | None] = {}
    seen: set[Place] = set()
    queue: list[Place] = [(module, name)]
    while queue:
        place = queue.pop()
        if place in seen:
            continue
        seen.add(place)
        inside, wanted = place
        if inside not in sources:
            sources[inside] = source_of(inside)
        source = sources[inside]
        if source is None:
            continue
        if wanted is None:
            queue += [(inside, name) for name in source.definitions]
        elif wanted in source.definitions:
            definition = _definition(source, wanted, frozenset(packages))
            found.setdefault(wanted, set()).add(definition.digest)
            queue += definition.uses
        elif wanted in source.imports:
            queue += _place(source.imports[wanted], packages)
    return {name: "+".join(sorted(digests)) for name, digests in sorted(found.items())}


@cache
def _definition(source: Module, name: str, packages: frozenset[str]) -> Definition:
    """One definition of a module. Cached, because many methods and metrics reach it."""
    statements = [*source.definitions[name], *source.effects]
    references = list(dict.fromkeys(_references(statements, source)))
    external = sorted({f"{ref.module}.{ref.symbol}" for ref in references if not _inside(ref, packages)})
    uses = [place for reference in references for place in _place(reference, packages)]
    return Definition(_digest(statements, external, packages), uses)


def _place(reference: Import, packages: Collection[str]) -> list[Place]:
    """The place of a reference's definition; none outside the packages."""
    if not _inside(reference, packages):
        return []
    module = _module_of(reference)
    return [(module, None) if module else (reference.module, reference.symbol)]


def _inside(reference: Import, packages: Collection[str]) -> bool:
    return reference.module.partition(".")[0] in packages


def _references(statements: list[ast.stmt], source: Module) -> Iterator[Import]:
    """Every name that the statements use and that the module, or an import inside them, binds."""
    nodes = [node for statement in statements for node in ast.walk(statement)]
    local: dict[str, Import] = {}
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            local |= imported_names(node, source.name)
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
    return name if file_of(name) is not None else ""


def _digest(statements: list[ast.stmt], external: list[str], packages: Collection[str]) -> str:
    # `ast.unparse` and not `ast.dump`, whose text differs between versions of Python.
    plain = [_without_imports(statement, packages) for statement in statements]
    return digest("\n".join([*(ast.unparse(node) for node in plain if node), *external]))


def _without_imports(statement: ast.stmt, packages: Collection[str]) -> Any:
    """A statement without the imports inside it whose definitions are followed instead."""
    if any(isinstance(node, ast.ImportFrom) for node in ast.walk(statement)):
        return _WithoutImports(packages).visit(deepcopy(statement))
    return statement


class _WithoutImports(ast.NodeTransformer):
    def __init__(self, packages: Collection[str]) -> None:
        self.packages = packages

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST | None:
        inside = node.level > 0 or (node.module or "").partition(".")[0] in self.packages
        return None if inside else node
