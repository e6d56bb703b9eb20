from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from bench.synthetic.geometry.head_model import Part, load_head
from bench.synthetic.parameters.persona import sample_persona
from bench.synthetic.parameters.shot import CLOTH, WALL, Pose, Shot, sample_shot
from bench.synthetic.renderer.person_mesh import Person, make_person
from bench.synthetic.renderer.render import render
from bench.synthetic.renderer.scene import stage


def shot_of(person: Person, **changes: object) -> Shot:
    plain = {"pose": "front", "expression": "neutral", "glasses": "none", "hat": "none", "yaw": 0.0}
    return replace(sample_shot(person.persona, 0), **{**plain, **changes})  # type: ignore[arg-type]


def eyes_of(person: Person, shot: Shot) -> np.ndarray:
    screen, _ = stage(person, shot).project(64)
    body = screen[: len(person.placed)]
    sides = (Part.RIGHT_EYE, Part.LEFT_EYE)
    return np.stack([body[person.head.vertex_part == side].mean(0) for side in sides])


def test_the_same_seeds_give_the_same_pixels(somebody: Person) -> None:
    again = make_person(sample_persona(somebody.persona.seed))
    shot = sample_shot(somebody.persona, 5)
    assert np.array_equal(render(somebody, shot), render(again, sample_shot(again.persona, 5)))


def test_a_picture_is_square_and_eight_bit(somebody: Person) -> None:
    picture = render(somebody, sample_shot(somebody.persona, 0), 32)
    assert picture.shape == (32, 32, 3)
    assert picture.dtype == np.uint8


def test_frontal_eyes_lie_at_the_promised_pixels(somebody: Person, somebody_else: Person) -> None:
    for person in (somebody, somebody_else):
        expected = [(24.5, 28), (39.5, 28)]
        assert eyes_of(person, shot_of(person)) == pytest.approx(np.array(expected), abs=0.1)


@pytest.mark.parametrize("degrees", [-25, -14, 14, 25])
def test_turned_heads_keep_the_middle_of_their_eyes_and_their_level(somebody: Person, degrees: float) -> None:
    eyes = eyes_of(somebody, shot_of(somebody, yaw=np.radians(degrees), pitch=np.radians(5)))
    assert eyes.mean(0) == pytest.approx(np.array([32, 28]), abs=0.3)
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=0.1)


def test_turned_heads_keep_their_size(somebody: Person) -> None:
    def height(yaw: float) -> float:
        screen, _ = stage(somebody, shot_of(somebody, yaw=yaw)).project(64)
        nose, middle = np.argmax(somebody.head.neutral[:, 2]), 28
        return float(screen[nose, 1] - middle)

    assert height(0.4) == pytest.approx(height(0.0), rel=0.05)


@pytest.mark.parametrize(("pose", "side"), [("left", -1), ("right", 1)])
def test_poses_are_named_from_the_viewers_side(somebody: Person, pose: Pose, side: int) -> None:
    shots = [sample_shot(somebody.persona, view) for view in range(60)]
    turned = [shot for shot in shots if shot.pose == pose]
    assert turned
    for shot in turned:
        screen, _ = stage(somebody, shot).project(64)
        nose = screen[np.argmax(somebody.head.neutral[:, 2]), 0]
        assert (nose - 32) * side > 1


def test_shots_keep_to_their_angles(somebody: Person) -> None:
    for shot in (sample_shot(somebody.persona, view) for view in range(300)):
        yaw = abs(np.degrees(shot.yaw))
        assert yaw <= 6 if shot.pose == "front" else 14 <= yaw <= 25
        assert abs(np.degrees(shot.pitch)) <= 5


def test_the_background_is_one_exact_colour(somebody: Person) -> None:
    picture = render(somebody, shot_of(somebody, background="pink"))
    assert picture[20, 0] == pytest.approx(255 * np.array(WALL["pink"]), abs=1)


def pictures_by_shirt(person: Person) -> dict[str, np.ndarray]:
    return {shirt: render(person, shot_of(person, shirt=shirt)).astype(int) for shirt in CLOTH}


def test_every_shirt_is_seen_and_told_from_the_others(somebody: Person, somebody_else: Person) -> None:
    for person in (somebody, somebody_else):
        for one, other in combinations(pictures_by_shirt(person).values(), 2):
            assert (np.abs(one - other).max(-1) > 35).sum() > 150


@pytest.mark.parametrize("shirt", CLOTH)
def test_a_shirt_looks_most_like_its_own_name(somebody: Person, shirt: str) -> None:
    picture = render(somebody, shot_of(somebody, shirt=shirt))
    seen = picture[61:, 28:36].reshape(-1, 3).mean(0) / 255
    assert min(CLOTH, key=lambda name: float(np.abs(seen - CLOTH[name]).max())) == shirt


@pytest.mark.parametrize("change", [{"glasses": "black"}, {"hat": "red"}, {"expression": "laughing"}])
def test_what_a_caption_names_changes_the_picture(somebody: Person, change: dict[str, str]) -> None:
    plain = render(somebody, shot_of(somebody)).astype(int)
    changed = render(somebody, shot_of(somebody, **change)).astype(int)
    assert (np.abs(plain - changed).max(-1) > 40).sum() > 20


def test_two_people_differ_in_the_middle_of_the_face(somebody: Person, somebody_else: Person) -> None:
    one = render(somebody, shot_of(somebody))[20:50, 20:44].astype(int)
    other = render(somebody_else, shot_of(somebody_else))[20:50, 20:44].astype(int)
    assert np.abs(one - other).mean() > 5


def test_drawing_leaves_the_global_generator_alone(somebody: Person) -> None:
    before = np.random.get_state()[1].tobytes()  # type: ignore[union-attr,index]
    render(make_person(sample_persona(3)), sample_shot(somebody.persona, 1))
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
