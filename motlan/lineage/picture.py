"""A value's chain as one SVG picture: the value, the decision, what registers say, and the way back to the agency that sent it.

It stands alone: no script, no font, no address. Each box has a title for screen readers, and every text in it is escaped.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from html import escape
from typing import Any

from motlan.lineage.paragraph import link_sentence, write_paragraph
from motlan.lineage.words import Words

Tree = dict[str, Any]
WIDTH, MARGIN, LINE, GAP = 960, 20, 18, 34
LETTER = 7.4
"""Width of a letter of the picture, in pixels: by it lines are broken."""
MOST = 4
"""Records that are drawn beside each other; the others are counted."""
INK, FAINT, PLAIN, GOOD, BAD = "#1c2530", "#5a6673", "#f4f6f8", "#e3f2e8", "#fae6e4"


@dataclass(frozen=True)
class _Box:
    """A box of text.

    Attributes:
        title: Its first line, and its title for screen readers.
        text: The rest.
        fill: Its colour.
        x: Its left edge; `y` its upper one; `width`.
    """

    title: str
    text: str
    fill: str
    x: float
    y: float
    width: float

    @property
    def lines(self) -> list[str]:
        """The lines of the text."""
        letters = max(8, int((self.width - 20) / LETTER))
        return [line for part in self.text.splitlines() for line in textwrap.wrap(part, letters) or [""]]

    @property
    def height(self) -> int:
        """Its height."""
        return LINE * (1 + len(self.lines)) + 18

    def draw(self) -> str:
        """Return its SVG."""
        lines = [f'<tspan font-weight="bold">{escape(self.title)}</tspan>']
        lines += [f'<tspan x="{self.x + 10}" dy="{LINE}">{escape(line)}</tspan>' for line in self.lines]
        return (
            f"<g><title>{escape(self.title)}</title>"
            f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" rx="6" fill="{self.fill}" '
            f'stroke="{FAINT}"/>'
            f'<text x="{self.x + 10}" y="{self.y + 20}" fill="{INK}">{"".join(lines)}</text></g>'
        )


def draw(chain: Tree, words: Words) -> str:
    """Return the picture of one field's chain."""
    drawn: list[str] = []
    middle = MARGIN + 150
    wide = WIDTH - 2 * MARGIN

    def put(title: str, text: str, fill: str, above: float) -> float:
        box = _Box(title, text, fill, MARGIN, above, wide)
        drawn.append(box.draw())
        return above + box.height

    y = put(f"{words.title(chain['title'])}: {chain['value']}", _verdict(chain, words), _colour(chain), MARGIN)
    y = _arrow(drawn, middle, y)
    decision = chain["decision"]
    y = put(words.say("tree_decided"), words.say(f"by_{decision['rule']}"), PLAIN, y)
    y = _candidates(drawn, chain, words, y)
    source = chain["source"]
    for title, text in _way_back(source, words):
        y = _arrow(drawn, middle, y)
        y = put(title, text, PLAIN, y)
    if chain["received"]:
        y = put(words.say("tree_received"), _recipients(chain, words), PLAIN, y + GAP)
    height = int(y + MARGIN)
    heading, story = escape(f"{words.title(chain['title'])}: {chain['value']}"), escape(write_paragraph(chain, words))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-labelledby="heading story" lang="{words.language}" font-family="sans-serif" font-size="13">'
        f'<title id="heading">{heading}</title><desc id="story">{story}</desc>'
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>{"".join(drawn)}</svg>'
    )


def _colour(chain: Tree) -> str:
    return GOOD if chain["replays_equal"] else BAD


def _verdict(chain: Tree, words: Words) -> str:
    if chain["replays_equal"]:
        return words.say("proved")
    return words.say("broken", reasons="; ".join([*map(words.reason, chain["reasons"]), *chain["files"]]))


def _arrow(drawn: list[str], x: float, y: float) -> float:
    """Draw an arrow down from here; return where the next box begins."""
    tip = y + GAP - 4
    way = f"M{x} {y} V{tip} M{x - 5} {tip - 6} L{x} {tip} L{x + 5} {tip - 6}"
    drawn.append(f'<path d="{way}" fill="none" stroke="{FAINT}" stroke-width="1.5"/>')
    return y + GAP


def _candidates(drawn: list[str], chain: Tree, words: Words, y: float) -> float:
    """Draw what each register says, side by side, the winner first."""
    said = chain["decision"]["said"]
    shown = said[:MOST]
    if not shown:
        return y
    width = (WIDTH - 2 * MARGIN - 12 * (len(shown) - 1)) / len(shown)
    lowest = y
    for place, one in enumerate(shown):
        x = MARGIN + place * (width + 12)
        top = _arrow(drawn, x + min(width / 2, 150), y)
        outcome = words.say(f"tree_{one['outcome']}", why=words.why(one))
        text = f"{words.register(one['dataset'])}\n{one['key']}\n{words.moment(one['since'])}\n{outcome}"
        box = _Box(str(one["value"]), text, GOOD if one["outcome"] == "won" else PLAIN, x, top, width)
        drawn.append(box.draw())
        lowest = max(lowest, top + box.height)
    if len(said) > len(shown):
        more = words.say("more_lose", count=len(said) - len(shown))
        drawn.append(f'<text x="{MARGIN}" y="{lowest + LINE}" fill="{FAINT}">{escape(more)}</text>')
        lowest += LINE + 6
    return lowest


def _way_back(source: Tree, words: Words) -> list[tuple[str, str]]:
    """Return the boxes from the winner back to the agency: title and text."""
    link, cleaned, landed = source["link"], source["cleaned_by"], source["landed"]
    steps = [
        f"{step['call']}: {', '.join(map(repr, step['given'].values()))} \N{RIGHTWARDS ARROW} {step['value']!r}"
        for step in cleaned.get("steps", ())
    ]
    adapter = landed["adapter"]
    payload = [words.say("tree_payload", file=landed["payload_file"], digest=landed["payload_sha256"])]
    payload += [words.say("tree_adapter", adapter=adapter["class"], version=adapter["version"])] if adapter else []
    raw = [f"{name} = {value}" for name, value in landed["raw"].items()]
    return [
        (words.say("tree_link"), link_sentence(link, words)),
        (words.say("tree_cleaned", expression=""), "\n".join([cleaned["expression"], *steps])),
        (
            words.say("tree_landed", row=landed["row"], moment=words.moment(landed["at"]), locator=landed["locator"]),
            "\n".join(raw),
        ),
        (words.say("tree_file"), "\n".join(payload)),
        (words.register(source["dataset"]), source["owner"]),
    ]


def _recipients(chain: Tree, words: Words) -> str:
    newest = {one["agency"]: one for one in chain["received"]}
    return "\n".join(
        words.say(
            "received",
            agency=one["agency"],
            moment=words.moment(one["at"]),
            legal_basis=one["legal_basis"] or words.say("no_basis"),
        )
        for one in newest.values()
    )
