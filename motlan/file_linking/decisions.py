"""Which pairs of files are links, reviews or non-links: their probability among their rivals, and the threshold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.relations import Relations, union
from motlan.linking.scored_pairs import prior_log_odds

LEAST_OPEN = 0.001
"""Probability below which a pair is no candidate of a one-to-one linking."""


class Decisions:
    """The decisions on the pairs of files.

    Args:
        relations: The relations of the linking, with `keys` and `left_rows`.
        matching: The declaration.
        model: The model; it is completed by the thresholds that are found.
        rows: File (`left`, `right`) -> its rows.
        one_to_one: Whether no row has more than one partner.
    """

    def __init__(
        self, relations: Relations, matching: Matching, model: Model, rows: Mapping[str, int], *, one_to_one: bool
    ) -> None:
        self.relations, self.matching, self.model, self.rows = relations, matching, model, rows
        self.one_to_one = one_to_one

    def calibrate_one_file(self, scored: str) -> None:
        """Find how probable any pair is, by expectation and maximisation over the weights; then the threshold."""
        weights = self.relations.fetch(
            f"select round(match_weight, 1), count(*) from {scored} group by all order by all"
        )
        rows = self.rows["left"]
        possible = max(rows * (rows - 1) / 2, 1)
        share = rows / possible / 10
        for _ in range(50):
            prior = math.log2(share / (1 - share))
            share = sum(count / (1 + 2 ** -(weight + prior)) for weight, count in weights) / possible
            share = min(max(share, 0.1 / possible), 0.5)
        known = rows * share / (1 - share + rows * share)
        self.model = self.model.model_copy(update={"known": known})
        self._compare("pairs_of_first_linking", scored)
        self.model = self.model.model_copy(update={"link_threshold": self._find_threshold("pairs_of_first_linking")})

    def _compare(self, name: str, scored: str) -> None:
        """Make of scored pairs every pair of the files that was compared, with its probability among its rivals.

        A pair's rivals are the other candidates of its row, and where one_to_one is declared of its partner too; a row of
        one file may have many duplicates, so that pairs there have none.
        """
        sides = "l.file = 'left' and r.file = 'right'" if self.matching.spine else "scored.n < scored.other"
        rivals = "0"
        if self.matching.spine:
            rivals = "sum(odds) over (partition by n) - odds"
        if self.one_to_one:
            rivals += " + sum(odds) over (partition by other) - odds"
        self.relations.make(
            name,
            f"""with once as (
                    select scored.n, other, any_value(match_weight) as match_weight from {scored} as scored
                    join keys as l on l.n = scored.n join keys as r on r.n = scored.other where {sides} group by all),
                weighed as (
                    select once.*, {self._prior()} as prior, pow(2, least(match_weight + prior, 300)) as odds
                    from once join left_rows using (n))
                select n, other, match_weight, prior, odds / (1 + odds + greatest({rivals}, 0)) as probability from weighed""",
        )

    def _prior(self) -> str:
        """Return the SQL of the log2 odds that a pair of a row of `left_rows` has before anything is compared."""
        if not self.matching.spine:
            return f"{prior_log_odds(self.model.known, self.rows['left'])}::double"
        status = " || ".join(["''", *(f"({quote(name)} is not null)::int" for name in self.matching.identifiers)])
        rows = self.rows["right"]
        cases = " ".join(
            f"when {literal(digits)} then {prior_log_odds(share, rows)}::double"
            for digits, share in self.model.residual_known.items()
        )
        usual = prior_log_odds(models.RESIDUAL_KNOWN, rows)
        return f"(case {status} {cases or 'when null then 0'} else {usual} end)"

    def _find_threshold(self, best: str) -> float:
        """Find the least probability at which the expected share of wrong links among pairs stays in the wanted limit."""
        errors = self.matching.errors
        (found,) = self.relations.fetch_one(
            f"""select min(probability) from (
                    select probability, sum(1 - probability) over up as wrong, count(*) over up as made
                    from {best} window up as (order by probability desc))
                where wrong <= {errors.max_false_link_rate} * made"""
        )
        return max(math.floor((found if found is not None else 0.999) * 1e6) / 1e6, 1 - errors.max_link_error)

    def decide(self, scored: Sequence[str]) -> None:
        """Make `pairs` (`n`, `other`, `match_weight`, `probability`, `decision`), `best_pairs` and `groups` (`n`, `person`).

        Args:
            scored: Relations of the pairs that were weighed.
        """
        self._compare("compared_pairs", f"({union(scored, 'n, other, match_weight')})")
        if self.one_to_one:
            self._match_one_to_one()
        else:
            self._take_stages()

    def _match_one_to_one(self) -> None:
        """Take, round by round, the pairs that are the best of both their rows, until no row is left with a candidate."""
        relations, rounds, taken = self.relations, 0, list[str]()
        left = relations.make("open_pairs_0", f"from compared_pairs where probability >= {LEAST_OPEN}")
        while True:
            taken.append(
                relations.make(
                    f"best_pairs_{rounds}",
                    f"""from {left} qualify row_number() over (partition by n order by match_weight desc, other) = 1
                        and row_number() over (partition by other order by match_weight desc, n) = 1""",
                )
            )
            if not relations.fetch_one(f"select count(*) from {taken[-1]}")[0]:
                break
            rounds += 1
            others = f"from {left} anti join {taken[-1]} using (n) anti join {taken[-1]} using (other)"
            relations.make(f"open_pairs_{rounds}", others)
            relations.drop(left)
            left = f"open_pairs_{rounds}"
        relations.make("best_pairs", *(f"select * from {name}" for name in taken))
        relations.drop(left, *taken)
        self.model = self.model.model_copy(update={"link_threshold": self._find_threshold("best_pairs")})
        relations.make(
            "groups",
            f"""select n, coalesce(best.other, n) as person from keys
                left join (from best_pairs where probability >= {self.model.link_threshold}) as best using (n)""",
        )
        relations.make(
            "pairs",
            f"""select c.*, case when best.n is null or best.probability < {self.model.review_threshold} then 'non_link'
                                 when best.probability < {self.model.link_threshold} then 'review' else 'link' end as decision
                from compared_pairs as c left join best_pairs as best using (n, other)""",
        )

    def _take_stages(self) -> None:
        """Take what the stages decided: pairs of one cluster are linked."""
        self.relations.make(
            "groups",
            """select keys.n, coalesce(made.person, d.person, keys.n) as person
               from keys left join row_links as made using (n) left join duplicates as d using (n)""",
        )
        self.relations.make(
            "pairs",
            """select c.n, c.other, c.match_weight, c.prior,
                      coalesce(made.probability, review.probability, c.probability) as probability,
                      case when mine.person = theirs.person then 'link' when review.n is not null then 'review'
                           else 'non_link' end as decision
               from compared_pairs as c join groups as mine on mine.n = c.n join groups as theirs on theirs.n = c.other
               left join row_links as made on made.n = c.n and made.compared = c.other
               left join review_pairs as review on (review.n, review.other) in ((c.n, c.other), (c.other, c.n))""",
        )
        best = "qualify row_number() over (partition by n order by probability desc, match_weight desc, other) = 1"
        self.relations.make(
            "best_pairs",
            f"select n, other, match_weight, probability from pairs {best if self.matching.spine else ''}",
        )
