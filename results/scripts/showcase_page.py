"""Writes the page of a run in one file, and a picture of it for the README.

    python results/scripts/showcase_page.py RUN OUTPUT

RUN is a run folder with its images; OUTPUT receives `page.html` and `page.webp`. Needs Chromium and
`pip install 'personabench[browser]'`.
"""

import argparse
import io
from pathlib import Path

from browser import address, browser_page
from PIL import Image

from bench.report.run_files import write_page_of
from bench.runs.finished_run import read_run

WIDTH = 1060
PIXELS_PER_UNIT = 1.6
QUALITY = 82
COLUMNS = ("identity (sface)", "identity (face-rendered)", "prompt-match (attributes)", "fid (inception-v3)")
ROWS = 3
EVERY = 4
"""The n-th person is shown with its (n * EVERY)-th row, for different prompts."""
LEAVE_ONLY = """([columns, people, every]) => {
  document.querySelectorAll('#comparison .choices label').forEach((label) => {
    if (!columns.includes(label.textContent)) label.querySelector('input').click();
  });
  const seen = new Map();
  for (const row of document.querySelectorAll('.row')) {
    const person = row.querySelector('b').textContent;
    seen.set(person, (seen.get(person) ?? -1) + 1);
    const place = [...seen.keys()].indexOf(person);
    if (place >= people || seen.get(person) !== place * every) row.remove();
    const images = row.querySelector('.images');
    images.style.gridTemplateColumns = `repeat(${images.children.length}, 1fr)`;
  }
  const hidden = ['nav', '#ranking', '#plots', '#details', '.controls', '#comparison > p', '#comparison > ul',
    '#notes', '#count', '#rows ~ *'];
  document.querySelectorAll(hidden.join()).forEach((one) => { one.style.display = 'none'; });
  document.querySelectorAll('h2').forEach((one) => { one.style.marginTop = '14px'; });
  document.body.style.paddingBottom = '8px';
}"""
LOAD_ALL = (
    """Promise.all([...document.images].map((one) => { one.loading = 'eager'; return one.decode(); }))"""
)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    page = write_page_of(read_run(arguments.run), arguments.output / "page.html", embed=True)
    draw(page, page.with_suffix(".webp"))


def draw(page: Path, picture: Path) -> None:
    """A picture of the table and of the first images of some people."""
    with browser_page(WIDTH, 800, pixels_per_unit=PIXELS_PER_UNIT) as opened:
        opened.goto(address(page))
        for _ in range(20):
            opened.evaluate("drawMore()")
        opened.evaluate(LEAVE_ONLY, [COLUMNS, ROWS, EVERY])
        opened.evaluate(LOAD_ALL)
        shot = opened.screenshot(full_page=True)
    buffer = io.BytesIO()
    Image.open(io.BytesIO(shot)).convert("RGB").save(buffer, "WEBP", quality=QUALITY, method=6)
    picture.write_bytes(buffer.getvalue())


if __name__ == "__main__":
    main()
