"""Compute the features of a run's images on a Ray cluster, before they are scored.

Each task encodes a part of the images and keeps the features on disk; scoring then finds them there. A
feature does not depend on the other images of its task, so the scores are those of one process.
"""

from collections.abc import Sequence
from pathlib import Path

from bench.datasets.registry import People
from bench.ray_cluster import ray_cluster
from bench.runs.records.tables import CellRow
from bench.runs.run_folder import RunFolder
from bench.scoring.checked_metrics import checked_scores
from bench.scoring.feature_cache import Warn, kept_features
from bench.scoring.inputs import ScoringInputs
from bench.scoring.samples import (
    EvaluationSample,
    StoredImages,
    calibration_photos,
    in_parts,
    load_identity_images,
)
from bench.scoring.suite_metrics import build_metrics
from bench.suite.suite import Suite
from bench.torchvision_compat import ensure_torchvision_imports
from metrics.catalog import of_people
from metrics.interface import RealPhoto, SampleMetric


def compute_features(inputs: ScoringInputs, cache: Path, warn: Warn) -> None:
    """Compute the features of all images of a run in as many Ray tasks as the cluster has cores.

    All nodes need the cache folder at the same path. The scoring process computes what a failed task
    leaves, and reports the metric's own errors.
    """
    with ray_cluster() as ray:
        count = max(1, int(ray.cluster_resources().get("CPU", 1)))
        remote = ray.remote(_encode).options(num_cpus=1, max_retries=1)
        folder = RunFolder(inputs.folder.path.resolve())
        shared = ray.put((inputs.suite, inputs.people, folder, cache.resolve(), inputs.floor))
        floor = inputs.cells_of(inputs.floor)
        for task in [remote.remote(shared, part, floor) for part in parts(inputs.cells, count)]:
            try:
                ray.get(task)
            except ray.exceptions.RayError as error:
                warn(f"a Ray task of scoring failed ({type(error).__name__}); its images are scored here")


def parts(cells: Sequence[CellRow], count: int) -> list[list[CellRow]]:
    """At most `count` parts of about equal size; all images of one person by one method stay together."""
    groups: dict[tuple[str, str], list[CellRow]] = {}
    for cell in cells:
        if cell.has_content:
            groups.setdefault((cell.method, cell.identity), []).append(cell)
    found: list[list[CellRow]] = [[] for _ in range(count)]
    for group in sorted(groups.values(), key=len, reverse=True):
        min(found, key=len).extend(group)
    return [part for part in found if part]


def _encode(
    shared: tuple[Suite, People, RunFolder, Path, str], cells: Sequence[CellRow], floor: Sequence[CellRow]
) -> None:
    """Score one part of the images; the features stay on disk, the scores are not used."""
    suite, people, folder, cache, floor_label = shared
    ensure_torchvision_imports()
    metrics = build_metrics(suite)
    identities = load_identity_images(people.chosen, suite)
    stored = StoredImages(folder, suite, identities)
    backbone = stored.of_backbone(floor)
    of_classes = stored.of_class([cell for cell in cells if cell.method != floor_label], backbone)
    with_backbone = (one for one in of_classes if one.sample.backbone_image is not None)
    real = calibration_photos(identities)
    with kept_features(metrics, cache, _ignore):
        for part in in_parts(stored.of_subject(cells, backbone)):
            _score_part(part, metrics.of_subjects, real)
            for set_metric in metrics.of_sets:
                set_metric.features([one.sample.image for one in part])
        for part in in_parts(with_backbone):
            _score_part(part, metrics.of_priors, real)


def _score_part(
    part: Sequence[EvaluationSample], metrics: Sequence[SampleMetric], real: Sequence[RealPhoto]
) -> None:
    for metric in metrics:
        if fit := [one.sample for one in part if one.sample.person or not of_people(metric)]:
            checked_scores(metric, fit, real)


def _ignore(line: str) -> None:
    """Problems of the cache are reported by the scoring process."""
