"""The skin texture over the unrolled head: complexion, brows, beard and scalp."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from bench.synthetic.geometry.array_math import blend, bump, linear, smoothstep, vector
from bench.synthetic.geometry.head_model import Floats
from bench.synthetic.parameters.persona import SKIN_TONES, Persona
from bench.synthetic.renderer.hair import covered, hair_colour

WIDTH, HEIGHT = 448, 288
TOP, BOTTOM = 1.5, -3.1


@dataclass(frozen=True)
class SkinTexture:
    """Linear colour and two masks over longitude and height of the neutral head."""

    colour: Floats
    beard: Floats
    shine: Floats


def texel(angle: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Column and row of a point, relative to the centre of the first texel."""
    column = (angle + np.pi) / (2 * np.pi) * WIDTH - 0.5
    row = (TOP - height) / (TOP - BOTTOM) * HEIGHT - 0.5
    return column, row


def skin_colour(persona: Persona) -> Floats:
    """Linear base colour of the skin."""
    step = int(persona.skin_tone)
    share = persona.skin_tone - step
    tone = (1 - share) * np.array(SKIN_TONES[step]) + share * np.array(SKIN_TONES[step + 1])
    return linear(np.clip(tone * np.array(persona.skin_tint), 0, 1))


def bake_skin(persona: Persona) -> SkinTexture:
    """Paint the texture of one person."""
    rng = np.random.default_rng((persona.seed, 1))
    unroll = _unrolled()
    base = skin_colour(persona)
    coarse, fine, hairs = _noise(rng, 14), _noise(rng, 3), _noise(rng, 0.6)
    colour = base * (1 + 0.03 * coarse + 0.02 * fine)[..., None]
    colour = _flush(colour, persona, coarse)
    if persona.wrinkles:
        colour *= (1 - 0.24 * persona.wrinkles * unroll.wrinkles)[..., None]
    if persona.freckles:
        spots = gaussian_filter((_noise(rng, 0.9) > 1.3).astype(np.float32), 0.5) * unroll.freckles
        colour *= 1 - persona.freckles * spots[..., None] * vector(0.30, 0.46, 0.56)
    hair = hair_colour(persona)
    brow = _brow_mask(persona, hairs)
    brow_colour = hair * (0.5 if persona.hair in ("blond", "grey") else 0.8)
    colour = blend(colour, brow_colour, brow)
    beard = _beard_mask(persona, hairs)
    colour = blend(colour, hair * 0.6 + base * 0.04, 0.93 * beard)
    scalp = covered(persona, unroll.angle, unroll.height + 0.008 * fine) * _scalp_cover(persona)
    colour = blend(colour, hair * (1 + 0.10 * hairs + 0.05 * fine)[..., None], scalp)
    shine = unroll.shine * (1 - 0.8 * np.clip(beard + brow + scalp, 0, 1))
    return SkinTexture(np.clip(colour, 0.004, 1).astype(np.float32), beard, shine[..., None])


def _flush(colour: Floats, persona: Persona, coarse: Floats) -> Floats:
    """Redden cheeks, nose and ears, and darken the skin around the eyes."""
    unroll = _unrolled()
    paleness = 1 - smoothstep(3, 5, persona.skin_tone)
    red = np.clip(persona.blush * unroll.blush + 0.08 * coarse, -0.2, 1.0) * (0.35 + 0.65 * paleness)
    colour = colour * (1 - red[..., None] * vector(0.02, 0.20, 0.17))
    colour *= 1 - unroll.sockets[..., None] * vector(0.10, 0.14, 0.11)
    return colour


def _brow_mask(persona: Persona, hairs: Floats) -> Floats:
    unroll, brows = _unrolled(), persona.brows
    along = (unroll.side - brows.start) / (brows.end - brows.start)
    t = np.clip(along, 0, 1)
    line = brows.height + brows.slope * t + brows.arch * np.sin(np.pi * np.clip(1.15 * t, 0, 1))
    line -= 0.08 * np.clip(t - 0.72, 0, 1)
    width = brows.width * (1 - 0.65 * t**1.6) * smoothstep(-0.06, 0.12, along)
    mask = np.exp(-(np.abs((unroll.height - line) / np.maximum(width, 1e-3)) ** 2.6))
    mask *= smoothstep(-0.08, 0.06, along) * smoothstep(1.08, 0.9, along)
    grown: Floats = np.clip(mask * (1 + 0.15 * hairs), 0, 1) * np.float32(brows.strength)
    return grown


def _beard_mask(persona: Persona, hairs: Floats) -> Floats:
    unroll = _unrolled()
    match persona.beard:
        case "none":
            return np.zeros_like(unroll.height)
        case "moustache":
            mask = unroll.moustache
        case "stubble":
            mask = 0.42 * unroll.full_beard
        case "full":
            mask = unroll.full_beard
    grown: Floats = np.clip(mask * (1 + 0.12 * hairs), 0, 1).astype(np.float32)
    return grown


def _scalp_cover(persona: Persona) -> float:
    match persona.style:
        case "bald":
            return 0.08
        case "buzz":
            return 0.80
        case _:
            return 1.0


def _noise(rng: np.random.Generator, scale: float) -> Floats:
    """Smooth noise of unit variance; `scale` is in texels."""
    shrink = 8 if scale > 8 else 2 if scale > 2 else 1
    white = rng.standard_normal((HEIGHT // shrink, WIDTH // shrink), dtype=np.float32)
    smooth = gaussian_filter(white, scale / shrink, truncate=2.5, mode=("nearest", "wrap"))
    smooth /= smooth.std()
    grown: Floats = zoom(smooth, shrink, order=1, mode="nearest") if shrink > 1 else smooth
    return grown


@dataclass(frozen=True)
class _Unrolled:
    angle: Floats
    height: Floats
    side: Floats
    blush: Floats
    sockets: Floats
    wrinkles: Floats
    freckles: Floats
    moustache: Floats
    full_beard: Floats
    shine: Floats


@cache
def _unrolled() -> _Unrolled:
    """Masks of the texture that are the same for all people."""
    column, row = np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5)
    angle = (column / WIDTH * 2 * np.pi - np.pi).astype(np.float32)
    height = (TOP - row / HEIGHT * (TOP - BOTTOM)).astype(np.float32)
    side = np.abs(angle)

    def spot(at: float, up: float, wide: float, tall: float) -> Floats:
        return bump(side, at, wide) * bump(height, up, tall)

    blush = 0.9 * spot(0.50, -0.38, 0.26, 0.22) + 0.55 * spot(0, -0.33, 0.14, 0.16)
    blush += 0.3 * spot(0, -1.0, 0.25, 0.12) + 0.5 * spot(1.55, -0.15, 0.2, 0.4)
    moustache, full_beard = _beards(side, height)
    return _Unrolled(
        angle=angle,
        height=height,
        side=side,
        blush=blush,
        sockets=np.clip(spot(0.38, -0.08, 0.22, 0.09) + 0.8 * spot(0.38, 0.13, 0.26, 0.07), 0, 1),
        wrinkles=_wrinkles(angle, side, height),
        freckles=np.clip(spot(0.35, -0.28, 0.45, 0.25) + 0.3 * spot(0, -0.25, 0.3, 0.25), 0, 1),
        moustache=moustache,
        full_beard=full_beard,
        shine=np.clip(0.5 + 0.35 * spot(0, -0.2, 0.25, 0.4) + 0.2 * spot(0, 0.4, 0.5, 0.3), 0, 1),
    )


def _wrinkles(angle: Floats, side: Floats, height: Floats) -> Floats:
    lines = np.zeros_like(height)
    for k in range(3):
        wave = 0.42 + 0.11 * k + 0.02 * np.sin(4 * angle + k)
        lines += bump(height - wave, 0, 0.018) * smoothstep(0.75, 0.45, side)
    down = np.clip((height + 0.36) / -0.5, 0, 1)
    fold = bump(side - 0.20 - 0.17 * down, 0, 0.03)
    lines += 1.2 * fold * smoothstep(-0.30, -0.40, height) * smoothstep(-0.92, -0.8, height)
    bag = bump(height + 0.18 - 0.05 * np.cos(6 * (side - 0.38)), 0, 0.018)
    lines += bag * smoothstep(0.2, 0.3, side) * smoothstep(0.62, 0.5, side)
    mask: Floats = np.clip(lines, 0, 1)
    return mask


def _beards(side: Floats, height: Floats) -> tuple[Floats, Floats]:
    """Masks of moustache and full beard, which leave the lips free."""
    cheek = -0.62 + 0.42 * smoothstep(0.35, 1.15, side)
    full = smoothstep(cheek + 0.06, cheek - 0.06, height) * smoothstep(1.50, 1.32, side)
    full *= smoothstep(-1.60, -1.25, height)
    sideburn = smoothstep(1.02, 1.12, side) * smoothstep(1.45, 1.3, side)
    sideburn *= smoothstep(0.15, 0.0, height) * smoothstep(-1.3, -0.9, height)
    bar = np.abs((height + 0.525 + 0.10 * smoothstep(0.08, 0.24, side)) / 0.062) ** 3
    moustache = np.exp(-bar) * smoothstep(0.32, 0.25, side)
    lips = np.exp(-(np.maximum(0, (side / 0.25) ** 2 + ((height + 0.69) / 0.11) ** 2) ** 2))
    whole = np.maximum(np.maximum(full, sideburn), moustache)
    return moustache * (1 - lips), whole * (1 - lips)
