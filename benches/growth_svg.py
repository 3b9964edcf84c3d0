#!/usr/bin/env python3
"""Draws a curve of the growth benchmark.

    growth_svg.py CURVE.tsv CURVE.svg TITLE X_TITLE Y_TITLE

Each line of the first file: x, series, y. Both axes are logarithmic: a straight line that rises by 1 in 1 is cost in proportion.
"""

import sys

import pygal
from pygal.style import LightColorizedStyle

source, picture, title, x_title, y_title = sys.argv[1:]
series = {}
with open(source, encoding="utf-8") as lines:
    for line in lines:
        x, name, y = line.rstrip("\n").split("\t")
        series.setdefault(name, []).append((float(x), float(y)))

chart = pygal.XY(
    title=title, x_title=x_title, y_title=y_title, style=LightColorizedStyle, js=[], width=900, height=500,
    logarithmic=True, xrange=(min(x for points in series.values() for x, _ in points), max(x for points in series.values() for x, _ in points)),
    legend_at_bottom=True, legend_at_bottom_columns=3, dots_size=3, include_x_axis=False, show_x_guides=True,
)
for name, points in series.items():
    chart.add(name, points)
chart.render_to_file(picture)
