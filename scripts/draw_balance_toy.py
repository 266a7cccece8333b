#!/usr/bin/env python3
"""Draws docs/images/balance_toy.svg: where each balancing method ends on the two-task problem of Liu et al. (CAGrad, 2021).

    cargo run --release --example balance_toy > toy.json
    python scripts/draw_balance_toy.py toy.json

Needs nothing but Python. The file holds {"method": {"start": [[x, y, loss1, loss2], ...]}}; a panel a method shows the paths in
the plane of the two losses, from the hollow dots to the full ones, over the Pareto front. Colours follow the reader's light or
dark setting.
"""

import json
import math
import pathlib
import sys
from xml.sax.saxutils import escape

ROOT = pathlib.Path(__file__).resolve().parent.parent
IMAGE = ROOT / "docs" / "images" / "balance_toy.svg"

COLUMNS, PANEL, GAP, LEFT, TOP, FOOT = 6, 150, 14, 30, 66, 24
LOW, HIGH = -21.0, 12.0  # Of both losses.
FRONT_Y, FRONT_X = -8.3552, 7.0  # The Pareto front is the line from (-7, FRONT_Y) to (7, FRONT_Y).
STYLE = """
  text { font: 12px system-ui, sans-serif; fill: #24292f }
  .title { font-size: 16px; font-weight: 600 }
  .small { font-size: 11px; fill: #57606a }
  .frame { fill: none; stroke: #d0d7de }
  .front { fill: none; stroke: #afb8c1; stroke-width: 7; stroke-linecap: round }
  .path { fill: none; stroke: #218bff; stroke-width: 1.3; stroke-linejoin: round }
  .start { fill: #ffffff; stroke: #24292f } .end { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .frame { stroke: #3d444d } .front { stroke: #656c76 }
    .path { stroke: #58a6ff } .start { fill: #0d1117; stroke: #e6edf3 } .end { fill: #ff7b72 }
  }
"""


def losses_below(x, y):
    """Both losses where y < 0, where the front is."""
    weight = math.tanh(-y / 2)
    return [weight * (((-x + side) ** 2 + 0.1 * (-y - 8) ** 2) / 10 - 20) for side in (7, -7)]


def place(loss1, loss2):
    """A point of the plane of losses, inside its panel."""
    scale = PANEL / (HIGH - LOW)
    inside = lambda loss: min(max(loss, LOW), HIGH)
    return (inside(loss1) - LOW) * scale, (HIGH - inside(loss2)) * scale


def line(points, name):
    """A polyline through the points that can be told apart."""
    kept = []
    for point in points:
        if not kept or math.dist(point, kept[-1]) >= 3:
            kept.append(point)
    return f'<polyline class="{name}" points="' + " ".join(f"{x:.1f},{y:.1f}" for x, y in kept) + '"/>'


def on_front(path):
    x, y = path[-1][:2]
    return abs(y - FRONT_Y) < 0.1 and abs(x) < FRONT_X + 0.1


def panel(method, paths):
    front = [losses_below(FRONT_X * k / 50 - FRONT_X, FRONT_Y) for k in range(101)]
    reached = sum(on_front(path) for path in paths)
    out = [f'<text x="0" y="-6">{escape(method)}</text>',
           f'<text x="{PANEL}" y="-6" class="small" text-anchor="end">{reached} of {len(paths)}</text>',
           f'<rect class="frame" width="{PANEL}" height="{PANEL}" rx="3"/>', line([place(*f) for f in front], "front")]
    for path in paths:
        points = [place(*point[2:]) for point in path]
        out.append(line(points, "path"))
        for name, (x, y) in (("start", points[0]), ("end", points[-1])):
            out.append(f'<circle class="{name}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>')
    return out


def draw(results):
    rows = math.ceil(len(results) / COLUMNS)
    columns = min(COLUMNS, len(results))
    step = (PANEL + GAP, PANEL + GAP + 20)
    width, height = LEFT + columns * step[0], TOP + rows * step[1] + FOOT
    title = "Two tasks, five starts: the paths of each balancing method in the plane of the losses"
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<style>{STYLE}</style>",
        f'<text x="8" y="22" class="title">{escape(title)}</text>',
        '<text x="8" y="40" class="small">Right: loss of task 1; up: loss of task 2. Grey: the Pareto front. Hollow dots: '
        "starts; red dots: ends; the number counts ends on the front.</text>",
    ]
    for number, (method, starts) in enumerate(results.items()):
        x, y = LEFT + number % COLUMNS * step[0], TOP + number // COLUMNS * step[1]
        out.append(f'<g transform="translate({x} {y})">')
        out += panel(method, list(starts.values()))
        out.append("</g>")
    out.append("</svg>")
    return "\n".join(out) + "\n"


def main():
    source = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8") if len(sys.argv) > 1 else sys.stdin.read()
    IMAGE.parent.mkdir(parents=True, exist_ok=True)
    IMAGE.write_text(draw(json.loads(source)), encoding="utf-8")
    print(f"{IMAGE}, {IMAGE.stat().st_size} bytes")


if __name__ == "__main__":
    main()
