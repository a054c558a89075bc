"""Rows that the first stages leave: how probable their pairs are.

Such rows are not like others. Who agrees in everything is linked already, so what waits disagrees more; a row that bears
somebody else's number cannot agree with its own person on it; and a person whom the register has already is rarely meant
again. So what true pairs look like is learned anew among these rows: by expectation and maximisation (Dempster, Laird and
Rubin 1977) over kinds of pairs, where what random pairs look like is held. Dependence between comparisons is thereby learned
too. A row's own part in what is learned of its kind is left out, so that rare kinds lean on the model of all rows.

A kind is a text, `dataset bearing levels claimed`:

- `bearing`, a digit for each identifier: 0 the row bears none, 1 one that nobody on the spine has, 2 one that the spine has;
- `levels`, a letter for each comparison: its level where it is learned from `teaching`, else its group of levels (a says
  nothing, b the first that does, c the others);
- `claimed`, 1 where another row of the dataset is linked to the person already, else 0.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import duckdb

from motlan.config.matching import Matching
from motlan.expressions import literal, one, quote
from motlan.linking import model as models
from motlan.linking.model import UNTOLD, Model

ROUNDS = 100
CLOSE = 1e-7
"""Shares that change by less are found."""
LEAN, LEAN_ROWS = 0.05, 20.0
"""Rows, as a share of those seen and at the least, that are supposed to be as the model of all rows has it."""
LEAST = -16.0
"""Log2 odds, by the model of all rows, below which no kind makes a pair probable: such pairs are dropped."""
LETTERS = "abcdefghijklmnopqrstuvwxyz"

Seen = Sequence[tuple[str, float, int]]
"""Kind of a row's best pair, the log2 of what else speaks for its pairs, and how many rows are like that."""


def tell_bearing(engine: duckdb.DuckDBPyConnection, matching: Matching, spine_rows: str = "spine_rows") -> None:
    """Make `bearing` (`n`, `bearing`) of the rows of `waiting`, by what the spine's rows bear."""
    told = ["''"]
    joins = ""
    for place, name in enumerate(matching.identifiers):
        column = quote(name)
        told.append(f"case when w.{column} is null then '0' when spine_{place}.{column} is null then '1' else '2' end")
        # Of the spine's values those alone that a waiting row bears: few, whatever the size of the spine.
        spine = f"(select distinct {column} from {spine_rows} semi join waiting using ({column})) as spine_{place}"
        joins += f" left join {spine} on spine_{place}.{column} = w.{column}"
    engine.execute(
        f"create or replace temp table bearing as select w.n, {' || '.join(told)} as bearing from waiting as w{joins}"
    )


def tell_kinds(
    engine: duckdb.DuckDBPyConnection,
    matching: Matching,
    model: Model,
    spine_rows: str = "spine_rows",
    barred: str | None = None,
) -> None:
    """Give `persons` the columns `dataset`, `kind` (without `claimed`), `rest` (its weight less that of the levels) and `doubt`.

    Hopeless pairs are dropped.

    Args:
        engine: The session.
        matching: The declaration.
        model: The model.
        spine_rows: Relation of the spine's rows.
        barred: Relation (`n`, `person`, `doubt`) of pairs for people; None for those alone of which a doubt is declared.
    """
    doubt, joined = models.doubt(matching), ""
    if barred:
        doubt = f"coalesce(barred.doubt, {doubt})"
        joined = f" left join {barred} as barred on barred.n = p.n and barred.person = p.person"
    names = list(matching.comparisons)
    letters, bits = ["''"], ["0"]
    for number, name in enumerate(names):
        of_letter = groups(matching, name)
        told = [_bits(model, name, group) for group in of_letter]
        places = sorted((level, place) for place, group in enumerate(of_letter) for level in group)
        letters.append(f"case level_{number} {_cases((level, literal(LETTERS[place])) for level, place in places)} end")
        bits.append(f"case level_{number} {_cases((level, str(told[place])) for level, place in places)} end")
    least = LEAST - math.log2(UNTOLD / (1 - UNTOLD) / max(model.persons, 1))
    levels = ", ".join(f"{models.level_of(matching, name)} as level_{number}" for number, name in enumerate(names))
    engine.execute(
        f"""create or replace temp table kinds as
            select n, person, weight, other, alone, doubt, dataset,
                   dataset || ' ' || bearing || ' ' || {" || ".join(letters)} as kind,
                   weight - ({" + ".join(bits)}) as rest
            from (select p.*, {doubt} as doubt, l.dataset, bearing.bearing, {levels} from persons as p
                  join waiting as l on l.n = p.n join bearing on bearing.n = p.n join {spine_rows} as r on r.n = p.other{joined}
                  where p.weight >= {least});
            drop table persons; alter table kinds rename to persons"""
    )


def groups(matching: Matching, comparison: str) -> list[list[int]]:
    """Return the levels of a comparison that kinds tell apart, a list each."""
    levels = matching.comparisons[comparison].levels
    if matching.comparisons[comparison].learned_from == "teaching":
        return [[number] for number in range(len(levels))]
    first = matching.comparisons[comparison].first
    missing = [number for number, level in enumerate(levels) if level.missing]
    return [missing, [first], [number for number in range(len(levels)) if number not in (*missing, first)]]


def _cases(told: Iterable[tuple[int, str]]) -> str:
    return " ".join(f"when {level} then {value}" for level, value in told)


def _bits(model: Model, comparison: str, group: Sequence[int]) -> float:
    """Return log2(m / u) of a group of levels, 0 where it says nothing."""
    m, u = _together(model, comparison, group)
    return round(math.log2(m / u), 6) if m and u else 0.0


def _together(model: Model, comparison: str, group: Sequence[int]) -> tuple[float, float]:
    """Return m and u of a group of levels."""
    m, u = (sum(table[comparison][level] for level in group) for table in (model.m, model.u))
    return m, u


def odds_of_kinds(engine: duckdb.DuckDBPyConnection, kinds: Kinds, model: Model) -> str:
    """Make `odds_of_kind` (`kind`, `bits`) for all kinds of `persons`; return the SQL of these pairs.

    Their columns beside those of `persons`: `whole`, the kind with `claimed`; `prior`, its log2 odds; `bits`, all log2 odds.
    """
    claimed = "if(claims.person is null, ' 0', ' 1')"
    joined = "from persons as p left join claims on claims.person = p.person and claims.dataset = p.dataset"
    found = [kind for (kind,) in engine.execute(f"select distinct kind || {claimed} {joined} order by all").fetchall()]
    known = model.odds_of_rest
    odds = ((kind, known[kind] if kind in known else kinds.odds_at_first(kind)) for kind in found)
    # A text, for both engines read it alike, and a table of Arrow's brings pandas with it.
    told = literal(";".join(f"{kind}={bits}" for kind, bits in odds))
    engine.execute(
        f"""create or replace temp table odds_of_kind as
            select split_part(told, '=', 1) as kind, split_part(told, '=', 2)::double as bits
            from (select unnest(string_split({told}, ';')) as told) where told != ''"""
    )
    return f"""select told.*, k.kind as whole, k.bits as prior, rest + k.bits as bits
        from (select p.*, kind || {claimed} as kind_now {joined}) as told join odds_of_kind as k on k.kind = kind_now"""


@dataclass(frozen=True)
class Kinds:
    """What is known of kinds before anything is learned of them.

    Attributes:
        matching: The declaration.
        model: The model.
        lacking: Identifier -> share of the spine's rows that have none.
        claimed: Dataset -> share of the spine's rows whose person a row of it is linked to.
        made: Bearing and levels that were asked for -> m and u of them.
    """

    matching: Matching
    model: Model
    lacking: Mapping[str, float]
    claimed: Mapping[str, float]
    made: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)

    @classmethod
    def read(cls, engine: duckdb.DuckDBPyConnection, matching: Matching, model: Model) -> Kinds:
        """Read the shares off `spine_rows` and `claimed`."""
        persons = max(model.persons, 1)
        told = ", ".join(f"count(*) filter ({quote(name)} is null)" for name in matching.identifiers)
        counts = one(engine, f"select {told} from spine_rows") if told else ()
        claimed = engine.execute("select dataset, sum(persons) from claimed group by all order by all").fetchall()
        return cls(
            matching,
            model,
            {name: _clamped(count / persons) for name, count in zip(matching.identifiers, counts, strict=True)},
            {dataset: _clamped(count / persons) for dataset, count in claimed},
        )

    def odds_at_first(self, kind: str) -> float:
        """Return the log2 odds of a kind's pair whose other fields say nothing, by the model of all rows."""
        return self.odds(kind, self.prior(kind), 1 - UNTOLD)

    def odds(self, kind: str, true: float, none: float) -> float:
        """Return the log2 odds of a kind's pair whose other fields say nothing.

        Args:
            kind: The kind.
            true: Share of such rows whose person is on the spine and whose pair with it is of this kind.
            none: Share of such rows whose person is not on the spine.
        """
        return round(math.log2(true / none / self._random(kind) / max(self.model.persons, 1)), 6)

    def prior(self, kind: str) -> float:
        """Return the share of rows whose true pair is of a kind, until the data tell."""
        return UNTOLD * 0.5 * self._shares(kind)[0]

    def _random(self, kind: str) -> float:
        """Return how often the pair of such a row with a random one of the spine is of the kind."""
        dataset, _, _, claimed = kind.split(" ")
        of_claimed = self.claimed.get(dataset, 0.5)
        return (of_claimed if claimed == "1" else 1 - of_claimed) * self._shares(kind)[1]

    def _shares(self, kind: str) -> tuple[float, float]:
        """Return m and u of all levels of a kind together, computed once."""
        _, bearing, levels, _ = kind.split(" ")
        if (bearing, levels) not in self.made:
            pairs = list(self._levels(kind))
            self.made[bearing, levels] = math.prod(m for m, _ in pairs), math.prod(u for _, u in pairs)
        return self.made[bearing, levels]

    def _levels(self, kind: str) -> Iterable[tuple[float, float]]:
        """Return m and u of a kind's levels; where a level says nothing, what is missing on the spine's side does not either."""
        _, bearing, levels, _ = kind.split(" ")
        borne = dict(zip(self.matching.identifiers, bearing, strict=True))
        for name, letter in zip(self.matching.comparisons, levels, strict=True):
            group = groups(self.matching, name)[LETTERS.index(letter)]
            m, u = _together(self.model, name, group)
            if not m or not u:
                m = u = self.lacking[name] if borne.get(name, "0") != "0" else 1.0
            elif borne.get(name) == "2" and self.matching.comparisons[name].first in group:
                u = 1 / max(self.model.persons, 1)
            yield m, u

    def learn(self, seen: Seen, totals: Mapping[str, int]) -> tuple[dict[str, float], dict[str, float]]:
        """Learn the odds of each kind's pairs, and the shares of rows that are known.

        Args:
            seen: What the rows with candidates show: `bits` are all that speaks for a row, less its kind's odds.
            totals: `dataset bearing` -> rows, those without candidates too.

        Returns:
            Kind -> log2 odds of a pair whose other fields say nothing; bearing -> share of rows whose person is on the spine.
        """
        of_group: dict[str, list[tuple[str, float, int]]] = {}
        chance = {kind: self.odds(kind, 1.0, 1.0) for kind in {kind for kind, _, _ in seen}}
        for kind, bits, count in seen:
            of_group.setdefault(" ".join(kind.split(" ")[:2]), []).append((kind, bits + chance[kind], count))
        odds: dict[str, float] = {}
        known: dict[str, list[tuple[float, int]]] = {}
        for group, rows in totals.items():
            true = self._maximised(of_group.get(group, []), rows)
            none = 1 - _clamped(sum(true.values()))
            odds |= {kind: chance[kind] + round(math.log2(share / none), 6) for kind, share in true.items()}
            known.setdefault(group.split(" ")[1], []).append((1 - none, rows))
        shares = {
            bearing: round(sum(share * rows for share, rows in told) / sum(rows for _, rows in told), 6)
            for bearing, told in sorted(known.items())
        }
        return odds, shares

    def _maximised(self, seen: Seen, rows: int) -> dict[str, float]:
        """Find, for each kind, the share of rows whose true pair is of it, as one row more of the kind would be told."""
        told: dict[str, list[tuple[float, int]]] = {}
        for kind, bits, count in seen:
            told.setdefault(kind, []).append((2**-bits, count))
        lean = max(LEAN * rows, LEAN_ROWS)
        # What is seen of a kind, less one row of it; and its share by the model of all rows, of those that are known.
        others = {kind: 1 - 1 / sum(count for _, count in pairs) for kind, pairs in told.items()}
        leaning = {kind: lean * self.prior(kind) / UNTOLD for kind in told}
        true = {kind: self.prior(kind) for kind in told}
        for _ in range(ROUNDS):
            was, known = true, _clamped(sum(true.values()))
            true = {}
            for kind, pairs in told.items():
                none = (1 - known) / was[kind]
                hits = sum(count / (1 + none * against) for against, count in pairs)
                true[kind] = (hits * others[kind] + known * leaning[kind]) / (rows + lean)
            if all(abs(share - was[kind]) < CLOSE for kind, share in true.items()):
                break
        return true


def _clamped(value: float) -> float:
    return min(max(value, 0.001), 0.999)
