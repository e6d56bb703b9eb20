"""Small WebP copies of images, in a folder beside the page or inside it."""

import base64
import hashlib
import io
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import quote

from PIL import Image

from bench.atomic_io import remove_file, write_whole
from bench.errors import DatasetError
from bench.subjects.identity import PhotoFile

SIDE: Final = 256
"""Most pixels of the longer side."""
QUALITY: Final = 82
NAME: Final = re.compile(r"[0-9a-f]{16}\.webp")


@dataclass
class Thumbnails:
    """Makes thumbnails, named by a digest of their source, so that a second page keeps them."""

    folder: Path
    """Beside the page."""
    embed: bool = False
    """Return the images themselves as `data:` addresses, and write no file."""
    used: set[str] = field(default_factory=set)

    @property
    def address(self) -> str:
        """The folder as a page beside it names it; empty where the page contains the images."""
        return "" if self.embed else quote(self.folder.name, errors="surrogateescape")

    def of_image(self, path: Path) -> str:
        """Address of the thumbnail of a stored image; empty where it cannot be read."""
        try:
            return self._address(path.read_bytes(), lambda: Image.open(path))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
            return ""

    def of_photo(self, photo: PhotoFile) -> str:
        """Address of the thumbnail of a photograph; empty where it cannot be read."""
        try:
            return self._address(photo.content(), photo.load)
        except (OSError, DatasetError):
            return ""

    def remove_unused(self) -> None:
        """Remove the thumbnails of an earlier page that this one does not show."""
        for path in self.folder.glob("*.webp"):
            if NAME.fullmatch(path.name) and path.name not in self.used:
                remove_file(path)

    def _address(self, content: bytes, load: Callable[[], Image.Image]) -> str:
        name = f"{hashlib.sha256(content).hexdigest()[:16]}.webp"
        if self.embed:
            return "data:image/webp;base64," + base64.b64encode(_webp(load())).decode()
        path = self.folder / name
        if not path.exists():
            write_whole(path, _webp(load()))
        self.used.add(name)
        return name


def _webp(image: Image.Image) -> bytes:
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=QUALITY)
    return buffer.getvalue()
