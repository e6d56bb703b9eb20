from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from bench.synthetic.geometry.head_model import Part, load_head
from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.parameters.shot import CLOTH, WALL, Pose, Shot, sample_shot
from bench.synthetic.renderer.person_mesh import Person, make_person
from bench.synthetic.renderer.render import render
from bench.synthetic.renderer.scene import make_scene


def shot_of(person: Person, **changes: object) -> Shot:
    plain = {"pose": "front", "expression": "neutral", "glasses": "none", "hat": "none", "yaw": 0.0}
    return replace(sample_shot(person.persona, 0), **{**plain, **changes})  # type: ignore[arg-type]


def eyes_of(person: Person, shot: Shot) -> np.ndarray:
    screen, _ = make_scene(person, shot).project(64)
    body = screen[: len(person.placed)]
    sides = (Part.RIGHT_EYE, Part.LEFT_EYE)
    return np.stack([body[person.head.vertex_part == side].mean(0) for side in sides])


def test_same_seeds_give_the_same_pixels(person: Person) -> None:
    again = make_person(sample_persona(person.persona.seed))
    shot = sample_shot(person.persona, 5)
    assert np.array_equal(render(person, shot), render(again, sample_shot(again.persona, 5)))


def test_image_is_square_and_uint8(person: Person) -> None:
    image = render(person, sample_shot(person.persona, 0), 32)
    assert image.shape == (32, 32, 3)
    assert image.dtype == np.uint8


def test_frontal_eyes_are_at_the_documented_pixels(person: Person, other_person: Person) -> None:
    for each in (person, other_person):
        expected = [(24.5, 28), (39.5, 28)]
        assert eyes_of(each, shot_of(each)) == pytest.approx(np.array(expected), abs=0.1)


@pytest.mark.parametrize("degrees", [-25, -14, 14, 25])
def test_turned_heads_keep_the_position_and_level_of_the_eyes(person: Person, degrees: float) -> None:
    eyes = eyes_of(person, shot_of(person, yaw=np.radians(degrees), pitch=np.radians(5)))
    assert eyes.mean(0) == pytest.approx(np.array([32, 28]), abs=0.3)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=0.1)


def test_turned_heads_keep_their_size(person: Person) -> None:
    def height(yaw: float) -> float:
        screen, _ = make_scene(person, shot_of(person, yaw=yaw)).project(64)
        nose, middle = np.argmax(person.head.neutral[:, 2]), 28
        return float(screen[nose, 1] - middle)

    assert height(0.4) == pytest.approx(height(0.0), rel=0.05)


@pytest.mark.parametrize(("pose", "side"), [("left", -1), ("right", 1)])
def test_poses_are_named_from_the_viewers_side(person: Person, pose: Pose, side: int) -> None:
    shots = [sample_shot(person.persona, view) for view in range(60)]
    turned = [shot for shot in shots if shot.pose == pose]
    assert turned
    for shot in turned:
        screen, _ = make_scene(person, shot).project(64)
        nose = screen[np.argmax(person.head.neutral[:, 2]), 0]
        assert (nose - 32) * side > 1


def test_angles_of_shots_are_within_their_ranges(person: Person) -> None:
    for shot in (sample_shot(person.persona, view) for view in range(300)):
        yaw = abs(np.degrees(shot.yaw))
        assert yaw <= 6 if shot.pose == "front" else 14 <= yaw <= 25
        assert abs(np.degrees(shot.pitch)) <= 5


def test_background_has_one_exact_colour(person: Person) -> None:
    image = render(person, shot_of(person, background="pink"))
    assert image[20, 0] == pytest.approx(255 * np.array(WALL["pink"]), abs=1)


def images_by_shirt(person: Person) -> dict[str, np.ndarray]:
    return {shirt: render(person, shot_of(person, shirt=shirt)).astype(int) for shirt in CLOTH}


def test_shirts_of_different_colours_are_distinguishable(person: Person, other_person: Person) -> None:
    for each in (person, other_person):
        for one, other in combinations(images_by_shirt(each).values(), 2):
            assert (np.abs(one - other).max(-1) > 35).sum() > 150


@pytest.mark.parametrize("shirt", CLOTH)
def test_shirt_is_closest_to_its_own_colour(person: Person, shirt: str) -> None:
    image = render(person, shot_of(person, shirt=shirt))
    mean = image[61:, 28:36].reshape(-1, 3).mean(0) / 255
    assert min(CLOTH, key=lambda name: float(np.abs(mean - CLOTH[name]).max())) == shirt


@pytest.mark.parametrize("change", [{"glasses": "black"}, {"hat": "red"}, {"expression": "laughing"}])
def test_attributes_in_captions_change_the_image(person: Person, change: dict[str, str]) -> None:
    plain = render(person, shot_of(person)).astype(int)
    changed = render(person, shot_of(person, **change)).astype(int)
    assert (np.abs(plain - changed).max(-1) > 40).sum() > 20


def test_two_people_differ_in_the_middle_of_the_face(person: Person, other_person: Person) -> None:
    one = render(person, shot_of(person))[20:50, 20:44].astype(int)
    other = render(other_person, shot_of(other_person))[20:50, 20:44].astype(int)
    assert np.abs(one - other).mean() > 5


def test_rendering_does_not_use_the_global_generator(person: Person) -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[union-attr,index]
    render(make_person(sample_persona(3)), sample_shot(person.persona, 1))
    assert np.random.get_state()[1].tobytes() == before  # type: ignore[union-attr,index]


def test_women_are_rarely_bald_or_buzzed() -> None:
    women = [p for p in map(sample_persona, range(1000)) if p.noun == "woman"]
    assert 400 < len(women) < 600
    assert sum(p.style in ("bald", "buzz") for p in women) < 0.04 * len(women)
    assert all(p.beard == "none" for p in women)


def test_every_sampled_amount_is_a_target_of_the_head() -> None:
    targets = set(load_head().shapes.names)
    for name, amount in sample_persona(1).amounts.items():
        assert {f"{name}+", f"{name}-"} <= targets
        assert -1 <= amount <= 1
