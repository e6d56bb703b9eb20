"""Which of the packages that this one asks for are installed, by their metadata; nothing is imported."""

import tomllib
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, distributions, requires, version
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from bench.doctor.finding import Finding, State, found, missing
from bench.errors import StoreError

NAME: Final = "personabench"
PYPROJECT: Final = Path(__file__).parents[2] / "pyproject.toml"


def package_findings() -> list[Finding]:
    """One line for each required package, and one for OpenCV."""
    lines = [examined(requirement) for requirement in requirements()]
    return [*lines, *opencv_findings(_opencv())]


def requirements() -> list[Requirement]:
    """What the installed package asks for; in a checkout that is not installed, what its pyproject says."""
    try:
        asked: Iterable[str] = requires(NAME) or []
    except PackageNotFoundError:
        asked = _of_checkout()
    found = [Requirement(text) for text in asked]
    return [r for r in found if r.marker is None or r.marker.evaluate({"extra": ""})]


def _of_checkout() -> list[str]:
    try:
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise StoreError(
            f"{NAME} is not installed, and {PYPROJECT} says nothing of it; install it"
        ) from error
    return list(project["dependencies"])


def examined(requirement: Requirement) -> Finding:
    """Is it installed, in a version that will do."""
    name = requirement.name
    try:
        here = version(name)
    except PackageNotFoundError:
        return missing("package", name, f"not installed; pip install '{requirement}'")
    if not requirement.specifier.contains(here, prereleases=True):
        return missing(
            "package",
            name,
            f"{here} is installed, wanted {requirement.specifier}; pip install '{requirement}'",
        )
    return found("package", name, here)


def _opencv() -> dict[str, str]:
    """Versions of the distributions that bring the module cv2, by name."""
    names = ((d.metadata["Name"] or "", d.version) for d in distributions())
    return {name.lower(): here for name, here in sorted(names) if name.lower().startswith("opencv-")}


def opencv_findings(there: Mapping[str, str]) -> list[Finding]:
    """Several distributions write one folder `cv2`: harmless only where they are of one version."""
    listed = " and ".join(f"{name} {here}" for name, here in there.items())
    if len(set(there.values())) > 1:
        cure = f"pip uninstall {' '.join(there)}, then pip install opencv-python-headless"
        reason = f"{listed} overwrite each other's folder cv2 in different versions; {cure}"
        return [missing("package", "opencv", reason)]
    if len(there) > 1:
        reason = f"{listed} share the folder cv2, of one version: it works, until one of them is uninstalled"
        return [Finding("package", "opencv", State.note, reason)]
    return [found("package", "opencv", listed)] if there else []
