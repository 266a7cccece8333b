#!/usr/bin/env python3
"""Draws docs/images/sentiment.svg from docs/results/sentiment.json. Needs nothing but Python.

    python scripts/draw_sentiment.py

One bar a row at the mean of its seeds, one dot a seed. Colours follow the reader's light or dark setting.
"""

import json
import pathlib
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
RESULTS = ROOT / "docs" / "results" / "sentiment.json"
IMAGE = ROOT / "docs" / "images" / "sentiment.svg"

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 720, 170, 70, 60, 54, 30
TICKS = [0.0, 0.2, 0.4, 0.6, 0.8]
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 12px; fill: #57606a }
  .grid { stroke: #d0d7de }
  .bar0 { fill: #afb8c1 } .bar1 { fill: #218bff }
  .seed { fill: #ffffff; stroke: #24292f; stroke-width: 1.5 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .grid { stroke: #3d444d }
    .bar0 { fill: #656c76 } .bar1 { fill: #1f6feb } .seed { fill: #0d1117; stroke: #e6edf3 }
  }
"""


def x(value):
    return LEFT + (WIDTH - LEFT - RIGHT) * value / TICKS[-1]


def draw(results):
    rows = results["rows"]
    bottom = TOP + ROW * len(rows)
    height = bottom + 44
    title = f"{results['title']}: {results['measure']}"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text x="8" y="24" class="title">{escape(results["title"])}</text>',
        f'<text x="8" y="44" class="small">{escape(results["measure"])}; bar: mean, dots: seeds '
        f'{", ".join(map(str, results["seeds"]))}</text>',
    ]
    for tick in TICKS:
        out.append(f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{TOP}" y2="{bottom}" class="grid"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{bottom + 20}" class="small" text-anchor="middle">{tick:.1f}</text>')
    for number, row in enumerate(rows):
        top = TOP + ROW * number + (ROW - BAR) / 2
        middle = top + BAR / 2
        out.append(f'<text x="{LEFT - 10}" y="{middle + 5}" text-anchor="end">{escape(row["name"])}</text>')
        values = row["values"]
        mean = sum(values) / len(values)
        kind = min(number, 1)
        out.append(f'<rect x="{LEFT}" y="{top}" width="{x(mean) - LEFT:.1f}" height="{BAR}" rx="3" class="bar{kind}"/>')
        for value in values:
            out.append(f'<circle cx="{x(value):.1f}" cy="{middle}" r="4" class="seed"/>')
        end = x(max(mean, *values)) + 12
        out.append(f'<text x="{end:.1f}" y="{middle + 5}" font-weight="600">{mean:.3f}</text>')
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    image = draw(json.loads(RESULTS.read_text(encoding="utf-8")))
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    IMAGE.write_text(image, encoding="utf-8")
    print(IMAGE)


if __name__ == "__main__":
    main()
