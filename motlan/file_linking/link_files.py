"""Link two files, or find duplicates in one: the stages of linking without a registry, a lake or a store.

RIGHT is the spine: each row of LEFT belongs to at most one row of it, by default many to one. With one file, rows that
are about one person are grouped. The files are only read; what comes out replaces earlier results all at once.
"""

from __future__ import annotations

import difflib
import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from motlan.config.files import Place, refusal
from motlan.errors import ContractError
from motlan.expressions import DUCKDB, connect, literal, parse, quote
from motlan.file_linking import expectation_maximisation, report, tabular
from motlan.file_linking.configuration import SIDES, Configuration
from motlan.linking import model as models
from motlan.linking.link_rows import Linking
from motlan.linking.linking_rows import (
    ROW,
    compared_with,
    drop_all_rows,
    drop_values,
    load_left,
    load_spine,
    load_values,
)
from motlan.linking.model_training import ModelTrainer
from motlan.linking.relations import Relations, union
from motlan.linking.scored_pairs import prior_log_odds

RESULTS = ("pairs.parquet", "clusters.parquet", "model.json", "report.html")
PAIRS_A_ROW, FREE_PAIRS = 100, 10_000_000
"""Pairs that one blocking key may make: so many a row, and so many in any case."""
DRAFT = ".writing-"
"""What the folder is called in which results are made, beside those that they replace."""
Say = Callable[[str], None]


@dataclass(frozen=True)
class Summary:
    """What one linking made.

    Attributes:
        rows: Rows of each file.
        pairs: Pairs that were compared.
        links: Those that are linked.
        reviews: Those for a person to decide.
        clusters: Clusters of rows, singletons included.
        threshold: Least probability of a link.
        expected_precision: Of the links, by the model's own probabilities.
        expected_recall: Of the true pairs among those compared, likewise.
        learned_from: Pairs that taught the model; 0 where it is as declared.
        learned_by: How: `identifier`, `em` or `declared`.
    """

    rows: dict[str, int]
    pairs: int
    links: int
    reviews: int
    clusters: int
    threshold: float
    expected_precision: float
    expected_recall: float
    learned_from: int
    learned_by: str


def link_files(
    left: Path, right: Path | None, configured: Configuration, out: Path, say: Say = lambda _: None
) -> Summary:
    """Link two files, or find duplicates in one, and write `pairs.parquet`, `clusters.parquet`, `model.json`, `report.html`.

    Args:
        left: CSV (UTF-8, with a header) or Parquet.
        right: Another; None looks for duplicates in `left`.
        configured: The configuration.
        out: Folder of the results; earlier ones are replaced when all new ones are written.
        say: Called with what goes on.

    Raises:
        ConfigurationError: A file, a column or a field is not there.
        ContractError: A file cannot be read, or its key does not identify its rows.
    """
    out.mkdir(parents=True, exist_ok=True)
    for left_behind in out.glob(f"{DRAFT}*"):
        shutil.rmtree(left_behind)
    with (
        TemporaryDirectory(prefix=DRAFT, dir=out) as draft,
        connect(temp_dir=Path(draft), allowed=[path.parent for path in (left, right) if path]) as engine,
        tabular.wrapped(
            "the engine refused a query on this data",
            configured.path.name,
            "check the expressions; with MOTLAN_DEBUG_SQL=1, on synthetic data, the query is shown.",
        ),
    ):
        job = _Job(engine, configured, say)
        job.load([path for path in (left, right) if path])
        job.link()
        job.decide()
        summary = job.write(Path(draft))
        for name in RESULTS:
            (Path(draft) / name).replace(out / name)
    return summary


class _Job:
    """One linking of files, step by step, in one session of the engine."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, configured: Configuration, say: Say) -> None:
        self.engine, self.relations, self.configured, self.say = engine, Relations(engine), configured, say
        self.matching, self.files = configured.matching, configured.files
        self.model = models.declared(self.matching)
        self.learned_by = "declared"
        self.rows: dict[str, int] = {}
        self.scored = ["scored_pairs"]
        self.names: dict[str, str] = {}

    def load(self, paths: list[Path]) -> None:
        """Make `facts` (as the stages read them) and `keys` (`n`, `file`, `key`)."""
        parts = []
        for side, path in zip(SIDES, paths, strict=False):
            self.say(f"reading {path.name}")
            columns = tabular.load(self.engine, path, f"{side}_file")
            parts.append(self._facts(side, path, columns))
            self.names[side] = path.name
            (self.rows[side],) = self.relations.fetch_one(f"select count(*) from {side}_file")
        self.relations.make("facts", " union all ".join(parts))
        for side, path in zip(SIDES, paths, strict=False):
            self._check_key(side, path)
        self.relations.make("keys", f"select {ROW} as n, dataset as file, _key as key from facts")

    def _facts(self, side: str, path: Path, columns: list[str]) -> str:
        key = self.files.key_of(side)
        for name in key:
            self._check_column(name, columns, ["key"], path)
        made = " || '|' || ".join(f"nullif(trim({quote(name)}), '')" for name in key) or "_row::varchar"
        fields = [f"{self._field(name, side, path, columns)} as {quote(name)}" for name in self.matching.fields]
        return f"select {literal(side)} as dataset, {made} as _key, {', '.join(fields)} from {side}_file"

    def _field(self, name: str, side: str, path: Path, columns: list[str]) -> str:
        place = ["fields", name] if name in self.files.fields else ["comparisons"]
        expression = parse(self.files.field_of(name, side), where=f"{self.configured.path.name}, fields, {name}")
        if expression.code_lists:
            raise refusal(
                f"{name} reads a code list", self.configured.path, place, "use cleaners without code lists here."
            )
        for column in sorted(expression.fields):
            self._check_column(column, columns, place, path)
        return f"({expression.sql(DUCKDB)})::varchar"

    def _check_column(self, name: str, columns: list[str], place: Place, path: Path) -> None:
        if name in columns:
            return
        close = difflib.get_close_matches(name, columns, 1)
        mend = f"did you mean {close[0]}?" if close else f"its columns are {', '.join(columns)}."
        if place[0] != "key":
            mend += " Or say under fields: how it is made."
        raise refusal(f"{path.name} has no column {name}", self.configured.path, place, mend)

    def _check_key(self, side: str, path: Path) -> None:
        empty, rows, keys = self.relations.fetch_one(
            f"""select count(*) filter (where _key is null), count(*), count(distinct _key)
                from facts where dataset = {literal(side)}"""
        )
        if empty or keys < rows:
            twice = f"stands on more than one row: {rows - keys:,} rows too many"
            what = f"is empty in {empty:,} rows" if empty else twice
            raise ContractError(
                f"the key ({', '.join(self.files.key_of(side))}) {what}",
                where=path.name,
                next_step="give key: more columns, or leave it out to number the rows.",
            )

    def link(self) -> None:
        """Learn a model from the rows and link them by it."""
        relations, matching = self.relations, self.matching
        load_values(relations, matching, "facts")
        load_spine(relations, matching, "facts")
        trainer = ModelTrainer(relations, matching, compared_with(matching))
        collision = trainer.count_frequencies()
        load_left(relations, matching, trainer.start_with(collision), "facts")
        drop_values(relations, matching)
        self._check_blocking_rules()
        self._learn(trainer, collision)
        drop_all_rows(relations, matching)
        self.say("comparing")
        self.linking = Linking(self.engine, matching, self.model)
        self.model = self.linking.run(calibrate=True)
        if not matching.spine:
            self._link_again()

    def _link_again(self) -> None:
        """Link the rows of one file once more, by a threshold that the pairs of the first time show."""
        self.relations.make("remembered", "from scored_pairs")
        self.linking.close()
        self.scored = ["remembered", "scored_pairs"]
        self._calibrate_one_file("remembered")
        self.linking = Linking(self.engine, self.matching, self.model, remembered=True)
        self.linking.run()

    def _learn(self, trainer: ModelTrainer, collision: dict[str, float]) -> None:
        """Learn from rows with one identifier, else by expectation and maximisation; too few pairs teach nothing."""
        found = None
        if not self.matching.identifiers:
            self.say("learning by expectation and maximisation")
            found = expectation_maximisation.learn(self.relations, self.matching, collision, self.configured.origins)
        else:
            self.say("learning from rows with one identifier")
        self.model = found or trainer.learn(collision)
        if self.model.pairs:
            self.learned_by = "em" if found else "identifier"

    def _check_blocking_rules(self) -> None:
        """Refuse a rule that nearly all rows share, before it costs hours."""
        most = PAIRS_A_ROW * sum(self.rows.values()) + FREE_PAIRS
        for number in range(len(self.matching.keys)):
            pairs = expectation_maximisation.pairs_of_key(self.relations, self.matching, number)
            if pairs > most:
                what = f"this blocking rule makes {pairs:,} pairs, more than {most:,}"
                mend = "add a field to it, so that fewer rows share it."
                raise refusal(what, self.configured.path, ["blocking_rules", number], mend)

    def _calibrate_one_file(self, scored: str) -> None:
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
        if self.files.one_to_one:
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

    def decide(self) -> None:
        """Make `pairs` (`n`, `other`, `match_weight`, `probability`, `decision`), `best_pairs` and `groups` (`n`, `person`)."""
        self.say("deciding")
        columns = "n, other, match_weight"
        self._compare("compared_pairs", f"({union(self.scored, columns)})")
        if self.files.one_to_one:
            self._match_one_to_one()
        else:
            self._take_stages()

    def _match_one_to_one(self) -> None:
        """Take, round by round, the pairs that are the best of both their rows, until no row is left with a candidate."""
        relations, rounds, taken = self.relations, 0, list[str]()
        left = relations.make("open_pairs_0", "from compared_pairs where probability >= 0.001")
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

    def write(self, folder: Path) -> Summary:
        """Write the results into a folder."""
        self.say("writing")
        self.relations.make(
            "clusters",
            """select key, dense_rank() over (order by first) as cluster_id, file
               from (select key, file, min((file, key)) over (partition by person) as first from groups join keys using (n))""",
        )
        self.engine.execute(
            f"""copy (select l.key as left_key, r.key as right_key, round(match_weight, 6) as match_weight,
                             round(probability, 9) as match_probability,
                             decision
                      from pairs join keys as l on l.n = pairs.n join keys as r on r.n = pairs.other order by all)
                to {literal(str(folder.resolve() / "pairs.parquet"))} (format parquet, compression zstd);
                copy (from clusters order by cluster_id, file, key)
                to {literal(str(folder.resolve() / "clusters.parquet"))} (format parquet, compression zstd)"""
        )
        (folder / "model.json").write_text(self.model.model_dump_json(indent=2) + "\n", encoding="utf-8")
        summary = self._summary()
        page = report.page(self.engine, self.matching, self.model, summary, self.names)
        (folder / "report.html").write_text(page, encoding="utf-8")
        return summary

    def _summary(self) -> Summary:
        counts: Mapping[str, int] = dict(self.relations.fetch("select decision, count(*) from pairs group by all"))
        linked = "decision = 'link'"
        right, all_right = self.relations.fetch_one(
            f"""select coalesce(avg(probability) filter (where {linked}), 1),
                       coalesce(sum(probability) filter (where {linked}) / nullif(sum(probability), 0), 1) from pairs"""
        )
        return Summary(
            rows=self.rows,
            pairs=sum(counts.values()),
            links=counts.get("link", 0),
            reviews=counts.get("review", 0),
            clusters=self.relations.fetch_one("select count(distinct cluster_id) from clusters")[0],
            threshold=self.model.link_threshold,
            expected_precision=round(right, 6),
            expected_recall=round(all_right, 6),
            learned_from=self.model.pairs,
            learned_by=self.learned_by,
        )
