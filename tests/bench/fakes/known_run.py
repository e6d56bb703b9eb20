"""A finished run with known means: `leaky` is conditioned on the face network, `tuned` has missing scores."""

from collections.abc import Iterator

import numpy as np
from fake_run import cell, column, finished_run, scores

from bench.runs.finished_run import Column, FinishedRun
from bench.runs.records.tables import REAL_OTHER, REAL_SAME, REAL_SET, CellRow, FitRow, ScoreRow, SetRow

MEANS = {
    "text-only": 0.2,
    "photo-copy": 0.8,
    "tuned": 0.5,
    "close": 0.49,
    "leaky": 0.7,
    REAL_SAME: 0.8,
    REAL_OTHER: 0.1,
}
METHODS = tuple(label for label in MEANS if label not in (REAL_SAME, REAL_OTHER))
PEOPLE = ("ada", "bob", "cleo", "dan", "eva", "fay")
PROMPTS = ("p0", "p1", "p2")
SFACE = column("identity", "sface", weights="abc")
IN_DOMAIN = column("identity", "in-domain", **{"weights": "ghi", "trained on": "faces-train"})
FACES = column("multi-face", "eye", better="lower", weights="jkl")
DRIFT = column("drift", "lite0", of="priors", better="lower", weights="def")
FID = column("fid", "lite0", of="sets", better="lower", weights="def")


def known_run() -> FinishedRun:
    """Five methods, six people, three prompts."""
    cells = [_cell(method, who, prompt) for method in METHODS for who in PEOPLE for prompt in PROMPTS]
    priors = [_prior(method, who) for method in METHODS if method != "photo-copy" for who in PEOPLE]
    rows = [*_identity(SFACE), *_identity(IN_DOMAIN), *_drift(), *_several_faces()]
    return finished_run(
        (SFACE, IN_DOMAIN, FACES, DRIFT, FID),
        [*cells, *priors],
        rows,
        fits=[FitRow(method, who, 2.5, 900.0, None, 1000) for method in METHODS for who in PEOPLE],
        sets=list(_sets()),
        suite="known",
        commit="0123456789ab",
        libraries={"library torch": "2.0"},
        machine={"processor": "an abacus"},
        methods={
            method: {
                "conditioning_encoders": ("sface",) if method == "leaky" else (),
                "trained_on": ("faces-train",) if method == "close" else (),
            }
            for method in METHODS
        },
        people={
            who: {"origin": "faces-test", "noun": "man" if who in ("bob", "dan") else "woman"}
            for who in PEOPLE
        },
        fingerprints={"f1 sface": SFACE.fingerprint, "f2": {"weights": "xyz"}},
    )


def _cell(method: str, who: str, prompt: str) -> CellRow:
    if (method, who, prompt) == ("tuned", "ada", "p0"):
        return cell(method, who, prompt, status="failed", reason="RuntimeError: out of memory")
    flaw = "black" if (method, who, prompt) == ("close", "bob", "p1") else ""
    return cell(method, who, prompt, flaw=flaw, seconds=0.5, memory_mb=950.0, run_fingerprint="r1")


def _prior(method: str, who: str) -> CellRow:
    return cell(method, who, "prior", "prior", seconds=9.0, memory_mb=950.0, run_fingerprint="r1")


def _identity(column: Column) -> Iterator[ScoreRow]:
    rng = np.random.default_rng(0)
    offsets = {who: [rng.normal(0, 0.05) for _ in PROMPTS] for who in PEOPLE}
    for label, mean in MEANS.items():
        for who in PEOPLE:
            values: list[float | str] = [mean + x + float(rng.normal(0, 0.02)) for x in offsets[who]]
            if (label, who) == ("tuned", "ada"):
                values = ["failed: RuntimeError: out of memory", "no face found", "no face found"]
            yield from scores(column, label, who, values, f"f1 {column.encoder}")


def _drift() -> Iterator[ScoreRow]:
    for method, mean in {"tuned": 0.4, "close": 0.3, "leaky": 0.0}.items():
        for i, who in enumerate(PEOPLE):
            yield from scores(DRIFT, method, who, [mean * (1 + i / 10)], "f3")


def _several_faces() -> Iterator[ScoreRow]:
    """One image of `close` shows two people."""
    for method in ("tuned", "close", "leaky"):
        for who in PEOPLE:
            values = [0.0, 0.0, float((method, who) == ("close", "cleo"))]
            yield from scores(FACES, method, who, values, "f4")


def _sets() -> Iterator[SetRow]:
    for i, label in enumerate([*METHODS, REAL_SET]):
        yield SetRow(label, "fid", "lite0", "", 18, 40, 10.0 + i, "", "f3")
        for j, who in enumerate(PEOPLE if label != REAL_SET else ()):
            yield SetRow(label, "fid", "lite0", who, 15, 40, 10.0 + i + 0.1 * j, "", "f3")
