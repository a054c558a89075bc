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
from motlan.expressions import DUCKDB, connect, literal, one, parse, quote
from motlan.file_linking import expectation_maximisation, report, tabular
from motlan.file_linking.configuration import SIDES, Configuration
from motlan.linking import model as models
from motlan.linking.linking_rows import ROW, load_left, load_spine
from motlan.linking.model_training import Teacher
from motlan.linking.stages import Linking, odds

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
        clusters: Groups of rows, rows alone included.
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
        say: Is told what goes on.

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
        self.engine, self.configured, self.say = engine, configured, say
        self.matching, self.files = configured.matching, configured.files
        self.model = models.declared(self.matching)
        self.learned_by = "declared"
        self.rows: dict[str, int] = {}
        self.names: dict[str, str] = {}

    def load(self, paths: list[Path]) -> None:
        """Make `facts` (as the stages read them) and `keys` (`n`, `file`, `key`)."""
        parts = []
        for side, path in zip(SIDES, paths, strict=False):
            self.say(f"reading {path.name}")
            columns = tabular.load(self.engine, path, f"{side}_file")
            parts.append(self._facts(side, path, columns))
            self.names[side] = path.name
            self.rows[side] = one(self.engine, f"select count(*) from {side}_file")[0]
        self.engine.execute(f"create or replace temp table facts as {' union all '.join(parts)}")
        for side, path in zip(SIDES, paths, strict=False):
            self._check_key(side, path)
        self.engine.execute(
            f"create or replace temp table keys as select {ROW} as n, dataset as file, _key as key from facts"
        )

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
        empty, rows, keys = one(
            self.engine,
            f"""select count(*) filter (where _key is null), count(*), count(distinct _key)
                from facts where dataset = {literal(side)}""",
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
        spine = bool(self.matching.spine)
        load_spine(self.engine, self.matching, "facts", all_rows=not spine)
        teacher = Teacher(self.engine, self.matching)
        collision = teacher.frequencies()
        started = self.model.model_copy(update={"collision": collision, "persons": teacher.persons})
        load_left(self.engine, self.matching, started, "facts")
        self._check_blocks()
        self._learn(teacher, collision)
        if self.model.collision != collision:
            load_left(self.engine, self.matching, self.model, "facts")
        if not spine:
            self.engine.execute("delete from spine_rows")
        self.say("comparing")
        self.model = Linking(self.engine, self.matching, self.model).run(calibrate=True)
        if not spine:
            self._calibrate_one_file()
            self.engine.execute("create or replace temp table remembered as from scored; drop table waiting")
            Linking(self.engine, self.matching, self.model, remembered=True).run()
            self.engine.execute("insert into scored from remembered")

    def _learn(self, teacher: Teacher, collision: dict[str, float]) -> None:
        """Learn from rows with one identifier, else by expectation and maximisation; too few pairs teach nothing."""
        found = None
        if not self.matching.identifiers:
            self.say("learning by expectation and maximisation")
            found = expectation_maximisation.learn(self.engine, self.matching, collision, self.configured.origins)
        else:
            self.say("learning from rows with one identifier")
        self.model = found or teacher.learn(collision)
        if self.model.pairs:
            self.learned_by = "em" if found else "identifier"

    def _check_blocks(self) -> None:
        """Refuse a key that nearly all rows share, before it costs hours."""
        most = PAIRS_A_ROW * sum(self.rows.values()) + FREE_PAIRS
        for number in range(len(self.matching.keys)):
            pairs = expectation_maximisation.pairs_of_key(self.engine, self.matching, number)
            if pairs > most:
                what = f"this key makes {pairs:,} pairs, more than {most:,}"
                mend = "add a field to the key, so that fewer rows share it."
                raise refusal(what, self.configured.path, ["blocks", number], mend)

    def _calibrate_one_file(self) -> None:
        """Find how probable any pair is, by expectation and maximisation over the weights; then the threshold."""
        told = self.engine.execute("select round(weight, 1), count(*) from scored group by all order by all").fetchall()
        rows = self.rows["left"]
        possible = max(rows * (rows - 1) / 2, 1)
        share = rows / possible / 10
        for _ in range(50):
            before = math.log2(share / (1 - share))
            share = sum(count / (1 + 2 ** -(bits + before)) for bits, count in told) / possible
            share = min(max(share, 0.1 / possible), 0.5)
        known = rows * share / (1 - share + rows * share)
        self.model = self.model.model_copy(update={"known": known})
        self._make_told()
        self.engine.execute("create or replace temp table best as from told")
        self.model = self.model.model_copy(update={"linked": self._threshold()})

    def _make_told(self) -> None:
        """Make `told`: every pair of the files that was compared, with its probability among its rivals.

        A pair's rivals are the other candidates of its row, and where one_to_one is declared of its partner too; a row of
        one file may have many duplicates, so that pairs there have none.
        """
        sides = "l.file = 'left' and r.file = 'right'" if self.matching.spine else "scored.n < scored.other"
        rivals = "0"
        if self.matching.spine:
            rivals = "sum(odds) over (partition by n) - odds"
        if self.files.one_to_one:
            rivals += " + sum(odds) over (partition by other) - odds"
        self.engine.execute(
            f"""create or replace temp table told as
                with once as (
                    select scored.n, other, any_value(weight) as weight from scored
                    join keys as l on l.n = scored.n join keys as r on r.n = scored.other where {sides} group by all),
                weighed as (
                    select once.*, {self._prior()} as prior, pow(2, least(weight + prior, 300)) as odds
                    from once join left_rows using (n))
                select n, other, weight, prior, odds / (1 + odds + greatest({rivals}, 0)) as probability from weighed"""
        )

    def _prior(self) -> str:
        """Return the SQL of the log2 odds that a pair of a row of `left_rows` has before anything is compared."""
        if not self.matching.spine:
            return f"{odds(0, self.model.known, self.rows['left'])}::double"
        borne = " || ".join(["''", *(f"({quote(name)} is not null)::int" for name in self.matching.identifiers)])
        known = [(bearing, odds(0, share, self.rows["right"])) for bearing, share in self.model.known_of_rest.items()]
        cases = " ".join(f"when {literal(bearing)} then {bits}::double" for bearing, bits in known)
        usual = odds(0, models.UNTOLD, self.rows["right"])
        return f"(case {borne} {cases or 'when null then 0'} else {usual} end)"

    def _threshold(self) -> float:
        """Find the least probability at which the expected share of wrong links among `best` stays in the wanted limit."""
        found = one(
            self.engine,
            f"""select min(probability) from (
                    select probability, sum(1 - probability) over up as wrong, count(*) over up as made
                    from best window up as (order by probability desc))
                where wrong <= {self.matching.errors.linked} * made""",
        )[0]
        return max(math.floor((found if found is not None else 0.999) * 1e6) / 1e6, 1 - self.matching.errors.each)

    def decide(self) -> None:
        """Make `pairs` (`n`, `other`, `weight`, `probability`, `decision`), `best` and `groups` (`n`, `person`)."""
        self.say("deciding")
        self._make_told()
        if self.files.one_to_one:
            self._match_one_to_one()
        else:
            self._take_stages()

    def _match_one_to_one(self) -> None:
        """Take, round by round, the pairs that are the best of both their rows, until no row is left with a candidate."""
        self.engine.execute(
            """create or replace temp table open_pairs as from told where probability >= 0.001;
               create or replace temp table best as from told limit 0"""
        )
        while True:
            self.engine.execute(
                """create or replace temp table taken as from open_pairs
                   qualify row_number() over (partition by n order by weight desc, other) = 1
                       and row_number() over (partition by other order by weight desc, n) = 1"""
            )
            if not one(self.engine, "select count(*) from taken")[0]:
                break
            self.engine.execute(
                """insert into best from taken;
                   create or replace temp table open_pairs as
                   from open_pairs anti join taken using (n) anti join taken using (other)"""
            )
        self.model = self.model.model_copy(update={"linked": self._threshold()})
        self.engine.execute(
            f"""create or replace temp table groups as
                select n, coalesce(best.other, n) as person from keys
                left join (from best where probability >= {self.model.linked}) as best using (n);
                create or replace temp table pairs as
                select told.*, case when best.n is null or best.probability < {self.model.review} then 'none'
                                    when best.probability < {self.model.linked} then 'review' else 'link' end as decision
                from told left join best using (n, other)"""
        )

    def _take_stages(self) -> None:
        """Take what the stages decided: pairs of one group are linked."""
        self.engine.execute(
            """create or replace temp table groups as
               select keys.n, coalesce(linked.person, doubles.person, keys.n) as person
               from keys left join linked using (n) left join doubles using (n);
               create or replace temp table pairs as
               select told.n, told.other, told.weight, told.prior,
                      coalesce(linked.probability, reviews.probability, told.probability) as probability,
                      case when mine.person = theirs.person then 'link' when reviews.n is not null then 'review'
                           else 'none' end as decision
               from told join groups as mine on mine.n = told.n join groups as theirs on theirs.n = told.other
               left join linked on linked.n = told.n and linked.compared = told.other
               left join reviews on (reviews.n, reviews.other) in ((told.n, told.other), (told.other, told.n));
               create or replace temp table best as select n, other, weight, probability from pairs"""
        )
        if self.matching.spine:
            self.engine.execute(
                """create or replace temp table best as select n, other, weight, probability from pairs
                   qualify row_number() over (partition by n order by probability desc, weight desc, other) = 1"""
            )

    def write(self, folder: Path) -> Summary:
        """Write the results into a folder."""
        self.say("writing")
        self.engine.execute(
            f"""copy (select l.key as left_key, r.key as right_key, round(weight, 6) as match_weight,
                             round(probability, 9) as match_probability,
                             decision
                      from pairs join keys as l on l.n = pairs.n join keys as r on r.n = pairs.other order by all)
                to {literal(str(folder.resolve() / "pairs.parquet"))} (format parquet, compression zstd);
                create or replace temp table clusters as
                select key, dense_rank() over (order by first) as cluster_id, file
                from (select key, file, min((file, key)) over (partition by person) as first from groups join keys using (n));
                copy (from clusters order by cluster_id, file, key)
                to {literal(str(folder.resolve() / "clusters.parquet"))} (format parquet, compression zstd)"""
        )
        (folder / "model.json").write_text(self.model.model_dump_json(indent=2) + "\n", encoding="utf-8")
        summary = self._summary()
        page = report.page(self.engine, self.matching, self.model, summary, self.names)
        (folder / "report.html").write_text(page, encoding="utf-8")
        return summary

    def _summary(self) -> Summary:
        counts: Mapping[str, int] = dict(
            self.engine.execute("select decision, count(*) from pairs group by all").fetchall()
        )
        linked = "decision = 'link'"
        right, all_right = one(
            self.engine,
            f"""select coalesce(avg(probability) filter (where {linked}), 1),
                       coalesce(sum(probability) filter (where {linked}) / nullif(sum(probability), 0), 1) from pairs""",
        )
        return Summary(
            rows=self.rows,
            pairs=sum(counts.values()),
            links=counts.get("link", 0),
            reviews=counts.get("review", 0),
            clusters=one(self.engine, "select count(distinct cluster_id) from clusters")[0],
            threshold=self.model.linked,
            expected_precision=round(right, 6),
            expected_recall=round(all_right, 6),
            learned_from=self.model.pairs,
            learned_by=self.learned_by,
        )
