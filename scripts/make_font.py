#!/usr/bin/env python3
"""Makes the small fonts in src/report/fonts/, with which figures of a study become PNG files.

    npm pack inter-ui@4.1.1 && tar xzf inter-ui-4.1.1.tgz
    python scripts/make_font.py package

Inter in two weights, cut down to Latin, what of Greek stands in reports, and signs. SVG files name a system's fonts first; only PNG
files are drawn with these.
"""

import pathlib
import sys

from fontTools import subset

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "src" / "report" / "fonts"
CHARACTERS = [*range(0x20, 0x7F), *range(0xA0, 0x180), *map(ord, "ΔρμσλταβηθςǤǥ–—−‘’“”„…•‹›€™←↑→↓↔≈≠≤≥×±·√∞Ș șȚț")]
WEIGHTS = {"Inter-Regular": "Inter-Regular", "Inter-SemiBold": "Inter-SemiBold"}


def main(package):
    options = subset.Options()
    options.layout_features = ["kern", "tnum"]
    options.hinting = False
    options.name_IDs = [0, 1, 2, 3, 4, 5, 6, 13, 14, 16, 17]
    for source, target in WEIGHTS.items():
        font = subset.load_font(str(package / "web" / f"{source}.woff2"), options)
        font.flavor = None
        cut = subset.Subsetter(options)
        cut.populate(unicodes=CHARACTERS)
        cut.subset(font)
        font["head"].modified = font["head"].created
        path = FOLDER / f"{target}.ttf"
        font.save(path)
        print(path.name, path.stat().st_size)
    licence = (package / "LICENSE.txt").read_text()
    (FOLDER / "LICENSE.txt").write_text(licence)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
