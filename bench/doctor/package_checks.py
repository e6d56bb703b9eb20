"""Check which required packages are installed, from their metadata; nothing is imported."""

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
    """One finding per required package, and one for OpenCV."""
    findings = [package_finding(requirement) for requirement in requirements()]
    return [*findings, *opencv_findings(_opencv_versions())]


def requirements() -> list[Requirement]:
    """Dependencies of the installed package, or of pyproject.toml in a checkout that is not installed."""
    try:
        lines: Iterable[str] = requires(NAME) or []
    except PackageNotFoundError:
        lines = _pyproject_dependencies()
    return [r for r in map(Requirement, lines) if r.marker is None or r.marker.evaluate({"extra": ""})]


def _pyproject_dependencies() -> list[str]:
    try:
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise StoreError(
            f"{NAME} is not installed and {PYPROJECT} has no dependencies; install it"
        ) from error
    return list(project["dependencies"])


def package_finding(requirement: Requirement) -> Finding:
    """Check that a package is installed in a matching version."""
    name = requirement.name
    try:
        installed = version(name)
    except PackageNotFoundError:
        return missing("package", name, f"not installed; pip install '{requirement}'")
    if not requirement.specifier.contains(installed, prereleases=True):
        return missing(
            "package",
            name,
            f"{installed} is installed, expected {requirement.specifier}; pip install '{requirement}'",
        )
    return found("package", name, installed)


def _opencv_versions() -> dict[str, str]:
    """Versions of the distributions that provide the module cv2, by name."""
    names = ((d.metadata["Name"] or "", d.version) for d in distributions())
    return {name.lower(): version for name, version in sorted(names) if name.lower().startswith("opencv-")}


def opencv_findings(versions: Mapping[str, str]) -> list[Finding]:
    """Check the OpenCV distributions. All write the same folder `cv2`, so their versions must agree."""
    listed = " and ".join(f"{name} {version}" for name, version in versions.items())
    if len(set(versions.values())) > 1:
        cure = f"pip uninstall {' '.join(versions)}, then pip install opencv-python-headless"
        reason = f"{listed} overwrite each other's folder cv2 in different versions; {cure}"
        return [missing("package", "opencv", reason)]
    if len(versions) > 1:
        reason = f"{listed} share the folder cv2 in one version; uninstalling one breaks the other"
        return [Finding("package", "opencv", State.note, reason)]
    return [found("package", "opencv", listed)] if versions else []
