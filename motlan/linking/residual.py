"""Residual linking: how probable the pairs of rows are that deterministic linking leaves.

Such rows are not like others. Who agrees in everything is linked already, so what is left disagrees more; a row that bears
somebody else's number cannot agree with its own person on it; and a person whom the register has already is rarely meant
again. So what true pairs look like is learned anew among these rows: by expectation and maximisation (Dempster, Laird and
Rubin 1977) over agreement patterns, where what random pairs look like is held. Dependence between comparisons is thereby
learned too. A row's own part in what is learned of its pattern is left out, so that rare patterns lean on the model of all rows.

A pattern is a text, `dataset status levels already_linked`:

- `status`, a digit for each identifier: 0 the row bears none, 1 one that nobody on the spine has, 2 one that the spine has;
- `levels`, a letter for each comparison: its level where it is learned from `training_key`, else its group of levels (a says
  nothing, b the first that does, c the others);
- `already_linked`, 1 where another row of the dataset is linked to the person already, else 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.model import RESIDUAL_KNOWN, Model
from motlan.linking.scored_pairs import Context

ROUNDS = 100
CLOSE = 1e-7
"""Shares that change by less are found."""
LEAN, LEAN_ROWS = 0.05, 20.0
"""Rows, as a share of those seen and at the least, that are supposed to be as the model of all rows has it."""
LEAST = -16.0
"""Log2 odds, by the model of all rows, below which no pattern makes a pair probable: such pairs are dropped."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Seen = Sequence[tuple[str, float, int]]
"""Pattern of a row's best pair, the log2 of what else speaks for its pairs, and how many rows are like that."""


def find_identifier_status(context: Context, unlinked: str, spine: str) -> None:
    """Make `identifier_status` (`n`, `identifier_status`) of the rows of `unlinked`, by what the spine's rows bear."""
    digits, joins = ["''"], ""
    for place, name in enumerate(context.matching.identifiers):
        column = quote(name)
        digits.append(
            f"case when w.{column} is null then '0' when spine_{place}.{column} is null then '1' else '2' end"
        )
        # Of the spine's values those alone that such a row bears: few, whatever the size of the spine.
        values = f"(select distinct {column} from {spine} semi join {unlinked} using ({column})) as spine_{place}"
        joins += f" left join {values} on spine_{place}.{column} = w.{column}"
    context.relations.make(
        "identifier_status",
        f"select w.n, {' || '.join(digits)} as identifier_status from {unlinked} as w{joins}",
    )


def find_patterns(context: Context, persons: str, unlinked: str, spine: str, doubted: str | None) -> None:
    """Make `candidate_persons`: rows with their candidates, but for hopeless ones.

    It has the columns of `persons`, and `dataset`, `pattern` (without `already_linked`), `residual_weight` (the weight less that
    of the levels) and `doubt`.

    Args:
        context: The linking.
        persons: Relation that `gather_persons` made.
        unlinked: Relation of the rows.
        spine: Relation of the rows that they were compared with.
        doubted: Relation (`n`, `person`, `doubt`) of pairs for people; None for only those of which a doubt is declared.
    """
    matching, model = context.matching, context.model
    doubt, joined = models.doubt(matching), ""
    if doubted:
        doubt = f"coalesce(doubted.doubt, {doubt})"
        joined = f" left join {doubted} as doubted on doubted.n = p.n and doubted.person = p.person"
    names = list(matching.comparisons)
    letters, weights = _of_levels(matching, model)
    least = least_weight(model)
    levels = ", ".join(f"{models.level_of(matching, name)} as level_{number}" for number, name in enumerate(names))
    context.relations.make(
        "candidate_persons",
        f"""select n, person, match_weight, other, sole, doubt, dataset,
                   dataset || ' ' || identifier_status || ' ' || {" || ".join(letters)} as pattern,
                   match_weight - ({" + ".join(weights)}) as residual_weight
            from (select p.*, {doubt} as doubt, l.dataset, s.identifier_status, {levels} from {persons} as p
                  join {unlinked} as l on l.n = p.n join identifier_status as s on s.n = p.n
                  join {spine} as r on r.n = p.other{joined}
                  where p.match_weight >= {least})""",
    )


def least_weight(model: Model) -> float:
    """Return the match weight below which a pair is hopeless, and no candidate."""
    return LEAST - math.log2(RESIDUAL_KNOWN / (1 - RESIDUAL_KNOWN) / max(model.persons, 1))


def _of_levels(matching: Matching, model: Model) -> tuple[list[str], list[str]]:
    """Return the SQL of each comparison's letter and of its weight, by the columns `level_<number>`."""
    letters, weights = ["''"], ["0"]
    for number, name in enumerate(matching.comparisons):
        of_letter = groups(matching, name)
        of_group = [_weight(model, name, group) for group in of_letter]
        places = sorted((level, place) for place, group in enumerate(of_letter) for level in group)
        letters.append(f"case level_{number} {_cases((level, literal(LETTERS[place])) for level, place in places)} end")
        weights.append(f"case level_{number} {_cases((level, str(of_group[place])) for level, place in places)} end")
    return letters, weights


def groups(matching: Matching, comparison: str) -> list[list[int]]:
    """Return the levels of a comparison that patterns keep apart, a list each."""
    levels = matching.comparisons[comparison].levels
    if matching.comparisons[comparison].learned_from == "training_key":
        return [[number] for number in range(len(levels))]
    first = matching.comparisons[comparison].first
    missing = [number for number, level in enumerate(levels) if level.missing]
    return [missing, [first], [number for number in range(len(levels)) if number not in (*missing, first)]]


def _cases(values: Iterable[tuple[int, str]]) -> str:
    return " ".join(f"when {level} then {value}" for level, value in values)


def _weight(model: Model, comparison: str, group: Sequence[int]) -> float:
    """Return log2(m / u) of a group of levels, 0 where it says nothing."""
    m, u = _together(model, comparison, group)
    return round(math.log2(m / u), 6) if m and u else 0.0


def _together(model: Model, comparison: str, group: Sequence[int]) -> tuple[float, float]:
    """Return m and u of a group of levels."""
    m, u = (sum(table[comparison][level] for level in group) for table in (model.m, model.u))
    return m, u


def with_log_odds(context: Context, name: str, patterns: Patterns, candidates: str, already_linked: str) -> str:
    """Make `pattern_odds_<name>` for all patterns of candidates; return the SQL of the candidates with them.

    Their columns beside those of `candidates`: `whole_pattern`, that with `already_linked`; `prior`, its log2 odds; `log_odds`,
    all of them.
    """
    whole = "pattern || if(had.person is null, ' 0', ' 1')"
    joined = (
        f"from {candidates} as p left join {already_linked} as had on had.person = p.person and had.dataset = p.dataset"
    )
    found = [text for (text,) in context.relations.fetch(f"select distinct {whole} {joined} order by all")]
    known = context.model.residual_odds
    odds = ((text, known[text] if text in known else patterns.odds_at_first(text)) for text in found)
    # A text, for both engines read it alike, and a table of Arrow's brings pandas with it.
    listed = literal(";".join(f"{text}={log_odds}" for text, log_odds in odds))
    table = context.relations.make(
        f"pattern_odds_{name}",
        f"""select split_part(listed, '=', 1) as whole_pattern, split_part(listed, '=', 2)::double as prior
            from (select unnest(string_split({listed}, ';')) as listed) where listed != ''""",
    )
    return f"""select c.*, o.whole_pattern, o.prior, residual_weight + o.prior as log_odds
        from (select p.*, {whole} as pattern_now {joined}) as c join {table} as o on o.whole_pattern = pattern_now"""


def learn_shares(context: Context) -> None:
    """Complete the model by the shares of the spine's rows that lack an identifier, and that another dataset has already.

    They are read off `spine_rows` and `already_linked_counts`, and stay as they are: what a row is linked to depends on the rows
    near it alone, whatever comes elsewhere.
    """
    matching, persons = context.matching, max(context.model.persons, 1)
    missing = ", ".join(f"count(*) filter ({quote(name)} is null)" for name in matching.identifiers)
    counts = context.relations.fetch_one(f"select {missing} from spine_rows") if missing else ()
    linked = context.relations.fetch(
        "select dataset, sum(persons) from already_linked_counts group by all order by all"
    )
    shares = {
        "lacking": {name: _clamped(count / persons) for name, count in zip(matching.identifiers, counts, strict=True)},
        "already_linked": {dataset: _clamped(count / persons) for dataset, count in linked},
    }
    context.model = context.model.model_copy(update=shares)


@dataclass(frozen=True)
class Patterns:
    """What is known of agreement patterns before anything is learned of them.

    Attributes:
        matching: The declaration.
        model: The model, with its shares of the spine's rows.
        computed: Status and levels -> m and u of them, once they were computed.
    """

    matching: Matching
    model: Model
    computed: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    def odds_at_first(self, pattern: str) -> float:
        """Return the log2 odds of a pattern's pair whose other fields say nothing, by the model of all rows."""
        return self.odds(pattern, self.prior(pattern), 1 - RESIDUAL_KNOWN)

    def odds(self, pattern: str, true: float, none: float) -> float:
        """Return the log2 odds of a pattern's pair whose other fields say nothing.

        Args:
            pattern: The pattern.
            true: Share of such rows whose person is on the spine and whose pair with it is of this pattern.
            none: Share of such rows whose person is not on the spine.
        """
        return round(math.log2(true / none / self._random(pattern) / max(self.model.persons, 1)), 6)

    def prior(self, pattern: str) -> float:
        """Return the share of rows whose true pair is of a pattern, until the data show it."""
        return RESIDUAL_KNOWN * 0.5 * self._shares(pattern)[0]

    def _random(self, pattern: str) -> float:
        """Return how often the pair of such a row with a random one of the spine is of the pattern."""
        dataset, _, _, already_linked = pattern.split(" ")
        share = self.model.already_linked.get(dataset, 0.5)
        return (share if already_linked == "1" else 1 - share) * self._shares(pattern)[1]

    def _shares(self, pattern: str) -> tuple[float, float]:
        """Return m and u of all levels of a pattern together, computed once."""
        _, status, levels, _ = pattern.split(" ")
        if (status, levels) not in self.computed:
            pairs = list(self._levels(pattern))
            self.computed[status, levels] = math.prod(m for m, _ in pairs), math.prod(u for _, u in pairs)
        return self.computed[status, levels]

    def _levels(self, pattern: str) -> Iterable[tuple[float, float]]:
        """Return m and u of a pattern's levels; where one says nothing, what is missing on the spine's side does not either."""
        _, status, levels, _ = pattern.split(" ")
        borne = dict(zip(self.matching.identifiers, status, strict=True))
        for name, letter in zip(self.matching.comparisons, levels, strict=True):
            group = groups(self.matching, name)[LETTERS.index(letter)]
            m, u = _together(self.model, name, group)
            if not m or not u:
                m = u = self.model.lacking[name] if borne.get(name, "0") != "0" else 1.0
            elif borne.get(name) == "2" and self.matching.comparisons[name].first in group:
                u = 1 / max(self.model.persons, 1)
            yield m, u

    def learn(self, seen: Seen, totals: Mapping[str, int]) -> tuple[dict[str, float], dict[str, float]]:
        """Learn the odds of each pattern's pairs, and the shares of rows that are known.

        Args:
            seen: Of the rows with candidates: pattern of the best pair, the row's log2 odds less that pattern's, rows.
            totals: `dataset status` -> rows, those without candidates too.

        Returns:
            Pattern -> log2 odds of a pair whose other fields say nothing; status -> share of rows whose person is on the spine.
        """
        of_group: dict[str, list[tuple[str, float, int]]] = {}
        chance = {pattern: self.odds(pattern, 1.0, 1.0) for pattern in {pattern for pattern, _, _ in seen}}
        for pattern, log_odds, count in seen:
            of_group.setdefault(" ".join(pattern.split(" ")[:2]), []).append(
                (pattern, log_odds + chance[pattern], count)
            )
        odds: dict[str, float] = {}
        known: dict[str, list[tuple[float, int]]] = {}
        for group, rows in totals.items():
            true = self._maximise(of_group.get(group, []), rows)
            none = 1 - _clamped(sum(true.values()))
            odds |= {pattern: chance[pattern] + round(math.log2(share / none), 6) for pattern, share in true.items()}
            known.setdefault(group.split(" ")[1], []).append((1 - none, rows))
        shares = {
            status: round(sum(share * rows for share, rows in parts) / sum(rows for _, rows in parts), 6)
            for status, parts in sorted(known.items())
        }
        return odds, shares

    def _maximise(self, seen: Seen, rows: int) -> dict[str, float]:
        """Find, for each pattern, the share of rows whose true pair is of it, as one more row of the pattern would see it."""
        of_pattern: dict[str, list[tuple[float, int]]] = {}
        for pattern, log_odds, count in seen:
            of_pattern.setdefault(pattern, []).append((2**-log_odds, count))
        lean = max(LEAN * rows, LEAN_ROWS)
        # What is seen of a pattern, less one row of it; and its share by the model of all rows, of those that are known.
        others = {pattern: 1 - 1 / sum(count for _, count in pairs) for pattern, pairs in of_pattern.items()}
        leaning = {pattern: lean * self.prior(pattern) / RESIDUAL_KNOWN for pattern in of_pattern}
        true = {pattern: self.prior(pattern) for pattern in of_pattern}
        for _ in range(ROUNDS):
            was, known = true, _clamped(sum(true.values()))
            true = {}
            for pattern, pairs in of_pattern.items():
                none = (1 - known) / was[pattern]
                hits = sum(count / (1 + none * against) for against, count in pairs)
                true[pattern] = (hits * others[pattern] + known * leaning[pattern]) / (rows + lean)
            if all(abs(share - was[pattern]) < CLOSE for pattern, share in true.items()):
                break
        return true


def _clamped(value: float) -> float:
    return min(max(value, 0.001), 0.999)
