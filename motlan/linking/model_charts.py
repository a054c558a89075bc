"""Pictures of linking as SVG text: a model's weights, why one pair weighs what it does, what a threshold costs.

They stand alone: no script, no font, no address. Every text in them is escaped, because labels are declared by people
and may be made of values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from motlan.config.matching import Matching
from motlan.linking.model import Model

WIDTH = 860
ROW = 20
LABELS = 330
"""Where bars may begin: what stands left of it is text."""
NUMBERS = 190
"""What is kept for text on the right."""
FOR, AGAINST, SUM, INK, FAINT = "#1b7f4d", "#b3372f", "#33557f", "#1c2530", "#6b7785"


@dataclass(frozen=True)
class Step:
    """One bar of a waterfall.

    Attributes:
        name: The comparison.
        said: Its level, and the values where they may be shown.
        bits: What it adds.
    """

    name: str
    said: str
    bits: float


@dataclass(frozen=True)
class Point:
    """One point of the threshold curve.

    Attributes:
        threshold: Least probability of a link.
        links: Pairs that are linked there.
        precision: Expected share of them that are right.
        recall: Expected share of all right pairs among the candidates that are linked.
    """

    threshold: float
    links: int
    precision: float
    recall: float


def weights_svg(matching: Matching, model: Model) -> str:
    """Draw a model: a bar for each level of each comparison, in bits, with its m and u.

    Args:
        matching: The declaration; its comparisons and levels, in order.
        model: A model of it.
    """
    widest = max((abs(bits) for name in matching.comparisons for bits in model.weights(name)), default=1) or 1
    middle = (LABELS + WIDTH - NUMBERS) / 2
    scale = (WIDTH - NUMBERS - LABELS) / 2 / widest
    drawn, y = [_text(WIDTH - 6, 14, "m, u", "end", FAINT)], 22
    for name, comparison in matching.comparisons.items():
        drawn.append(_text(6, y + 14, name, weight="bold"))
        y += ROW
        for level, bits, m, u in zip(comparison.levels, model.weights(name), model.m[name], model.u[name], strict=True):
            drawn.append(_text(22, y + 14, _short(level.is_, 44)))
            drawn.append(_bar(middle, y, bits * scale, FOR if bits > 0 else AGAINST))
            drawn.append(_number(middle + bits * scale, y, "says nothing" if level.missing else f"{bits:+.1f}", bits))
            if not level.missing:
                by_value = " by value" if level.term_frequency_adjustment else ""
                drawn.append(_text(WIDTH - 6, y + 14, f"{_share(m)}, {_share(u)}{by_value}", "end", FAINT))
            y += ROW
        y += 6
    drawn.append(_line(middle, 22, middle, y))
    return _svg(y + 6, "Weights of the model, in bits", drawn)


def waterfall_svg(start: float, steps: Sequence[Step]) -> str:
    """Draw how a pair's log2 odds come about: the odds before anything is compared, a bar for each comparison, the sum.

    Args:
        start: Log2 odds before anything is compared.
        steps: What each comparison adds, in order.
    """
    sums = [0.0, start]
    for step in steps:
        sums.append(sums[-1] + step.bits)
    low, high = min(sums), max(sums)
    scale = (WIDTH - NUMBERS - LABELS) / ((high - low) or 1)
    bars = [Step("before", "how probable any pair is", start), *steps]
    drawn = [_line(_at(0, low, scale), 0, _at(0, low, scale), ROW * (len(bars) + 1))]
    for place, (bar, came) in enumerate(zip(bars, sums, strict=False)):
        y = place * ROW
        drawn.append(_text(6, y + 14, _short(f"{bar.name}: {bar.said}", 46)))
        drawn.append(_bar(_at(came, low, scale), y, bar.bits * scale, FOR if bar.bits > 0 else AGAINST))
        drawn.append(_number(_at(came + bar.bits, low, scale), y, f"{bar.bits:+.1f}", bar.bits))
    y = len(bars) * ROW
    drawn.append(_text(6, y + 14, f"sum {sums[-1]:+.1f}: {_probability(sums[-1])} without rivals", weight="bold"))
    drawn.append(_bar(_at(0, low, scale), y, sums[-1] * scale, SUM))
    return _svg(y + ROW + 4, "Where a pair's odds come from, in bits", drawn)


def curve_svg(points: Sequence[Point], threshold: float) -> str:
    """Draw expected precision and recall by threshold, and where the threshold stands.

    Args:
        points: In order of the threshold.
        threshold: The one in use.
    """
    left, top, wide, high = 60, 12, WIDTH - 220, 260
    lines = (
        ("expected precision", FOR, [point.precision for point in points]),
        ("expected recall", SUM, [point.recall for point in points]),
    )
    least = min((value for *_, values in lines for value in values), default=0)
    floor = max(share for share in (0, 0.5, 0.9, 0.99, 0.999) if share <= least)
    drawn = []
    for place in range(6):
        y = top + high * (1 - place / 5)
        drawn += [_line(left, y, left + wide, y)]
        drawn += [_text(left - 8, y + 4, f"{floor + (1 - floor) * place / 5:.6g}", "end", FAINT)]
    for share in (0.01, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999):
        drawn.append(_text(left + _odds_place(share) * wide, top + high + 18, f"{share:g}", "middle", FAINT))
    drawn.append(_text(left + wide / 2, top + high + 38, "least probability of a link", "middle"))
    for place, (name, colour, values) in enumerate(lines):
        path = " ".join(
            f"{left + _odds_place(point.threshold) * wide:.1f},{top + high * (1 - value) / (1 - floor):.1f}"
            for point, value in zip(points, values, strict=True)
        )
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn.append(_text(left + wide + 14, top + 20 + 20 * place, name, colour=colour))
    x = left + _odds_place(threshold) * wide
    drawn += [_line(x, top, x, top + high, INK), _text(left + wide + 14, top + 60, f"line: in use, {threshold:.4g}")]
    return _svg(top + high + 46, "What a threshold costs", drawn)


def _at(bits: float, low: float, scale: float) -> float:
    return LABELS + (bits - low) * scale


def _odds_place(share: float) -> float:
    """Return where a probability stands on an axis of log odds, from 0 to 1."""
    held = min(max(share, 0.005), 0.99999)
    low, high = math.log(0.005 / 0.995), math.log(0.99999 / 0.00001)
    return (math.log(held / (1 - held)) - low) / (high - low)


def _probability(bits: float) -> str:
    if bits > 40:
        return "1"
    chance = 2**bits / (1 + 2**bits)
    return f"{chance:.6f}" if chance >= 0.0001 else f"{chance:.1e}"


def _share(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


def _bar(x: float, y: float, width: float, colour: str) -> str:
    left, wide = min(x, x + width), max(abs(width), 0.5)
    return f'<rect x="{left:.1f}" y="{y + 3}" width="{wide:.1f}" height="{ROW - 6}" fill="{colour}"/>'


def _number(x: float, y: float, text: str, bits: float) -> str:
    """Write a number at the outer end of its bar."""
    return _text(x + 5, y + 14, text) if bits >= 0 else _text(x - 5, y + 14, text, "end")


def _line(x: float, y: float, to_x: float, to_y: float, colour: str = "#d5dbe1") -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{to_x:.1f}" y2="{to_y:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str = "start", colour: str = INK, weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-weight="{weight}">{escape(text)}</text>'


def _svg(height: float, title: str, drawn: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="system-ui, sans-serif" font-size="12">'
        f"<title>{escape(title)}</title>{''.join(drawn)}</svg>"
    )
