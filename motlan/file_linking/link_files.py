"""Link two files, or find duplicates in one: the stages of linking without a registry, a lake or a store.

RIGHT is the spine: each row of LEFT belongs to at most one row of it, by default many to one. With one file, rows that
are about one person are grouped. The files are only read; what comes out replaces earlier results all at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from motlan.config.files import refusal
from motlan.expressions import connect, literal
from motlan.file_linking import expectation_maximisation, report, tabular
from motlan.file_linking.configuration import Configuration
from motlan.file_linking.decisions import Decisions
from motlan.file_linking.file_rows import FileRows
from motlan.linking import model as models
from motlan.linking.link_rows import Linking
from motlan.linking.linking_rows import (
    compared_with,
    drop_all_rows,
    drop_values,
    load_left,
    load_spine,
    load_values,
)
from motlan.linking.model_training import ModelTrainer
from motlan.linking.relations import Relations
from motlan.settings import sizes

RESULTS = ("pairs.parquet", "clusters.parquet", "model.json", "report.html")
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
        summary = job.write(Path(draft))
        for name in RESULTS:
            (Path(draft) / name).replace(out / name)
    return summary


class _Job:
    """One linking of files, step by step, in one session of the engine."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, configured: Configuration, say: Say) -> None:
        self.engine, self.relations, self.configured, self.say = engine, Relations(engine), configured, say
        self.matching, self.files = configured.matching, FileRows(self.relations, configured)
        self.model = models.declared(self.matching)
        self.learned_by = "declared"

    def load(self, paths: list[Path]) -> None:
        """Load the files."""
        self.say(f"reading {' and '.join(path.name for path in paths)}")
        self.files.load(paths)

    def link(self) -> None:
        """Learn a model from the rows, link them by it, and decide on the pairs."""
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
        linking = Linking(self.engine, matching, self.model)
        linking.run(calibrate=True)
        one_to_one = self.configured.files.one_to_one
        decisions = Decisions(relations, matching, linking.model, self.files.counts, one_to_one=one_to_one)
        scored = ["scored_pairs"]
        if not matching.spine:
            # The pairs of the first linking show from where on to link: it is done once more by that threshold.
            relations.make("remembered", "from scored_pairs")
            linking.close()
            decisions.calibrate_one_file("remembered")
            Linking(self.engine, matching, decisions.model, remembered=True).run()
            scored.insert(0, "remembered")
        self.say("deciding")
        decisions.decide(scored)
        self.model = decisions.model

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
        limit = sizes()
        most = limit.blocking_pairs_a_row * sum(self.files.counts.values()) + limit.blocking_pairs
        for number in range(len(self.matching.keys)):
            pairs = expectation_maximisation.pairs_of_key(self.relations, self.matching, number)
            if pairs > most:
                what = f"this blocking rule makes {pairs:,} pairs, more than {most:,}"
                mend = "add a field to it, so that fewer rows share it."
                raise refusal(what, self.configured.path, ["blocking_rules", number], mend)

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
        page = report.page(self.engine, self.matching, self.model, summary, self.files.titles)
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
            rows=self.files.counts,
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
