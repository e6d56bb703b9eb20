"""Find files of a hub id in huggingface_hub's cache, or download them. Imports no torch."""

from __future__ import annotations

import re
from pathlib import Path

from methods.errors import MethodError


def is_hub_id(path: str) -> bool:
    """Whether a path has the form of a hub id, `owner/name`."""
    return path.count("/") == 1 and not path.startswith((".", "/", "~"))


def snapshot(path: str, revision: str | None, patterns: list[str], fetch: bool) -> Path:
    """Return the folder of a hub id in huggingface_hub's cache; `fetch` allows a download.

    Raises MethodError with the next step in one line, also for a revision that is no commit.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError

    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise MethodError(
            f"backbone {path!r}: revision is {revision!r}; a hub id needs the 40 digits of a commit, "
            "because a branch name such as 'main' can point to other weights later"
        )
    try:
        return Path(
            snapshot_download(
                path,
                revision=revision,
                allow_patterns=patterns,
                # Weights for further training, and other frameworks.
                ignore_patterns=["*.non_ema*", "openvino*", "flax*"],
                local_files_only=not fetch,
            )
        )
    except GatedRepoError as error:
        raise MethodError(
            f"backbone {path!r}: gated; accept the licence on the model's page with your account, then "
            "hf auth login on this machine"
        ) from error
    except (OSError, HfHubHTTPError, HFValidationError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise MethodError(
            f"backbone {path!r}: neither a folder here nor in huggingface_hub's cache ({lines[0]}); "
            f"with network: hf download {path} --revision {revision}"
        ) from error
