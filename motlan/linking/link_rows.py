"""The stages of linking in their order, over rows that are loaded into one engine session.

1. Deterministic linking: by what people decided, by each identifier, by numbers that records bore before, by an exact key.
2. Probabilistic linking of what is left, with the rows of the spine that meet a blocking rule.
3. Clustering of rows that belong to nobody on the spine.

Every stage weighs pairs by the same model. A row's number `n` is a hash (MD5) of dataset and key, the same on every engine: ties
are broken by it, so neither order of arrival nor the number of threads matters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import duckdb

from motlan.config.matching import Matching
from motlan.expressions import literal, quote
from motlan.linking import apply_decisions, clustering, decision_constraints, deterministic, former_rows, probabilistic
from motlan.linking.decision_constraints import Constraints
from motlan.linking.linking_rows import Kept, Tables, compared_with
from motlan.linking.model import Model
from motlan.linking.model_training import ModelTrainer
from motlan.linking.relations import Relations, Step, union
from motlan.linking.scored_pairs import NO_LINKS, Context

RESULTS = ("row_links", "review_pairs", "duplicates", "scored_pairs", "provisional_founders")
"""Relations that a linking leaves (see `Linking`)."""
RESULTS_OF_FORMER = ("former_rows", "former_persons")
RESULTS_OF_DECISIONS = ("contradicted_pairs",)
NO_DUPLICATES = (
    "select null::bigint as n, null::bigint as person, null::double as match_weight, "
    "null::double as probability where false"
)


def link_all(
    engine: duckdb.DuckDBPyConnection,
    matching: Matching,
    facts: str,
    model: Model | None = None,
    *,
    earlier: str | None = None,
    arrived: str | None = None,
    remembered: bool = False,
    decided: bool = False,
) -> Linking:
    """Load facts into tables and link them; without a model, learn one first (which leaves the table `frequencies`).

    Args:
        engine: A session; with a model given, the table `frequencies` is in it.
        matching: The declaration. With no spine, duplicates are looked for among all rows.
        facts: Relation with `dataset`, `_key` and the fields of `matching.fields`.
        model: A frozen model.
        earlier: Relation of earlier rows of the spine's records, as `Tables` takes it for `former`.
        arrived: As `Linking` takes it.
        remembered: As `Linking` takes it.
        decided: As `Linking` takes it.

    Returns:
        The linking, done: its model is the one used.
    """
    loaded = Relations(engine)
    learned = load_all(Tables(loaded, matching, facts, earlier), model)
    linking = Linking(
        engine,
        matching,
        learned,
        former=earlier is not None,
        arrived=arrived,
        remembered=remembered,
        decided=decided,
        loaded=loaded,
    )
    linking.run(calibrate=model is None)
    return linking


def load_all(rows: Tables | Kept, model: Model | None = None) -> Model:
    """Load rows for `Linking`, and return the model to link them by.

    Args:
        rows: The rows.
        model: A frozen model, whose table `frequencies` is in the session; without one, it is learned (which leaves that table).
    """
    rows.load_spine()
    if model is None:
        trainer = ModelTrainer(rows.relations, rows.matching, compared_with(rows.matching), rows.buckets)
        collision = trainer.count_frequencies(learn=trainer.has_enough(rows.count_left()))
        rows.load_left(trainer.start_with(collision))
        model = trainer.learn(collision)
    else:
        rows.load_left(model)
    rows.finish()
    return model


class Linking:
    """One linking of the loaded rows.

    `run` leaves these relations, until `close`:

    - `row_links` (`n`, `person`, `compared`, `rule`, `match_weight`, `probability`, and `bucket` where kept rows were joined in
      one): every row but the persons' founders;
    - `duplicates` (`n`, `person`, `match_weight`, `probability`): rows of the spine that are another's;
    - `provisional_founders` (`n`): rows that are not of the spine and found a person;
    - `review_pairs` (`n`, `other`, `match_weight`, `probability`, `reason`): what is left to people;
    - `scored_pairs` (`n`, `other`, `match_weight`; of kept rows with `row_version` and `other_version`): what was weighed now;
    - with former rows, `former_rows` and `former_persons`; with decisions, `contradicted_pairs`.

    Args:
        engine: A session with `spine_rows` and `left_rows`.
        matching: The declaration.
        model: The model; `run` completes it if it is to calibrate.
        buckets: How many buckets the rows have that are kept outside of memory; 0 of tables in memory.
        former: Whether there are `earlier_rows`: their numbers are their records' too.
        arrived: Relation (`n`, `_ref`) of every accepted row of the spine; None where that is not known.
        remembered: Whether the table `remembered` (`n`, `other`, `match_weight`) holds the pairs of rows that are as they were,
            weighed before under this model: they are not weighed again.
        decided: Whether the table `decisions` (`n`, `other`, `same`) holds what people decided.
        loaded: The relations of the loaded rows, where they go with the linking.
    """

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        matching: Matching,
        model: Model,
        *,
        buckets: int = 0,
        former: bool = False,
        arrived: str | None = None,
        remembered: bool = False,
        decided: bool = False,
        loaded: Relations | None = None,
    ) -> None:
        self.relations, self.loaded = Relations(engine), loaded
        self.matching, self.decided, self.arrived = matching, decided, arrived
        self.former = former and bool(matching.followed)
        decisions = "decisions" if decided else None
        self.context = Context(self.relations, matching, model, buckets, remembered, decisions)
        self.constraints: Constraints | None = None

    @property
    def model(self) -> Model:
        """The model, completed once the linking was run."""
        return self.context.model

    def run(self, *, calibrate: bool = False) -> Model:
        """Run all stages; return the model, completed where it is to `calibrate`."""
        self.relations.run(Plan(self, calibrate).steps, self.results)
        return self.model

    @property
    def results(self) -> tuple[str, ...]:
        """The relations that the linking leaves."""
        return (
            *RESULTS,
            *(RESULTS_OF_FORMER if self.former else ()),
            *(RESULTS_OF_DECISIONS if self.decided else ()),
        )

    def close(self) -> None:
        """Drop what the linking left, and the rows that it loaded; `frequencies` stay."""
        self.relations.close()
        if self.loaded:
            self.loaded.close(keep=["frequencies"])


class Plan:
    """The steps of one linking, each with the relations that it reads and makes."""

    def __init__(self, linking: Linking, calibrate: bool) -> None:
        self.linking, self.context, self.relations = linking, linking.context, linking.relations
        self.matching, self.former, self.decided = linking.matching, linking.former, linking.decided
        self.steps: list[Step] = []
        self.unlinked, self.links, self.scored = "unlinked_rows", list[str](), list[str]()
        self.spine, self.standing = ("known_rows", "persons_of_rows") if self.former else ("spine_rows", "duplicates")
        self.binding = ("binding_decisions",) if self.decided else ()
        self._prepare()
        self._link_deterministically()
        self._link_probably(calibrate)
        self._cluster()
        self._finish()

    def _add(self, name: str, run: Callable[[], object], reads: tuple[str, ...], makes: tuple[str, ...]) -> None:
        def call() -> None:
            run()

        self.steps.append(Step(name, reads, makes, call))

    def _stage(
        self, name: str, run: Callable[..., object], also: tuple[str, ...] = (), more: tuple[str, ...] = ()
    ) -> None:
        """Add a stage that links rows of those that are not linked yet, and leaves the others to the next one."""
        made = tuple(f"{what}_{name}" for what in ("links", "unlinked", "scored"))
        reads = (self.unlinked, self.standing, "duplicates", *self._undecided(), *also)
        self._add(f"link by {name}", partial(run, self.unlinked), reads, (*made, *more))
        self.links.append(made[0])
        self.scored.append(made[2])
        self.unlinked = made[1]

    def _undecided(self) -> tuple[str, ...]:
        """Return what scoring pairs reads of decisions."""
        return (*self.binding, *(("former_persons",) if self.decided and self.former else ()))

    def _prepare(self) -> None:
        found = "found_duplicates" if self.decided else "duplicates"
        self._find_duplicates(found)
        if self.decided:
            made = ("duplicates", "decided_persons", *self.binding, *RESULTS_OF_DECISIONS)
            self._add("constrain by decisions", partial(self._constrain, found), (found,), made)
        if self.former:
            made = ("former_rows", "former_persons", "standing_rows", "persons_of_rows", "known_rows")
            self._add("follow records' former numbers", self._follow, ("duplicates",), made)
        rows = partial(self.relations.show, self.unlinked, "from left_rows")
        self._add("begin with all rows", rows, (), (self.unlinked,))

    def _find_duplicates(self, found: str) -> None:
        if not self.matching.identifiers:
            self._add("find no duplicates", partial(self.relations.make, found, NO_DUPLICATES), (), (found,))
            return
        run = partial(deterministic.find_duplicates, self.context, found)
        self._add("find duplicates of the spine", run, (), (found, "scored_duplicates"))
        self.scored.append("scored_duplicates")

    def _constrain(self, found_duplicates: str) -> None:
        self.linking.constraints = decision_constraints.constrain(self.relations, "decisions", found_duplicates)
        self.context.decisions = "binding_decisions"

    def _follow(self) -> None:
        columns = ["n", *(["version"] if self.context.buckets else []), "dataset", *map(quote, self.matching.columns)]
        former_rows.follow(self.context, ", ".join(columns), self.linking.arrived)
        self.context.former_persons, self.context.persons_of_rows = "former_persons", "persons_of_rows"

    def _link_deterministically(self) -> None:
        if self.decided:
            made = ("links_decided", "unlinked_decided")
            run = partial(deterministic.link_decided, self.context, self.unlinked)
            self._add("link by decision", run, (self.unlinked, "decided_persons", "duplicates"), made)
            self.links.append(made[0])
            self.unlinked = made[1]
        for identifier in self.matching.identifiers:
            self._stage(f"identifier_{identifier}", partial(deterministic.link_by_identifier, self.context, identifier))
        if self.former:
            self._link_by_former_numbers()
        if self.matching.exact:
            excluded = "doubtful_former" if self.former else None
            by_key = partial(deterministic.link_by_exact_key, self.context, excluded)
            self._stage("exact", by_key, ("doubtful_former",) if self.former else ())

    def _link_by_former_numbers(self) -> None:
        read = ("former_rows", "standing_rows", "former_persons")
        doubtful = [f"doubtful_former_{identifier}" for identifier in self.matching.followed]
        for identifier, made in zip(self.matching.followed, doubtful, strict=True):
            run = partial(former_rows.link_by_former_number, self.context, identifier)
            self._stage(f"former_{identifier}", run, read, (made,))
        gather = partial(self.relations.show, "doubtful_former", union(doubtful))
        self._add("gather doubtful former numbers", gather, tuple(doubtful), ("doubtful_former",))

    def _link_probably(self, calibrate: bool) -> None:
        context, links, known = self.context, tuple(self.links) or ("no_links",), self.unlinked
        if not self.links:
            self._add("begin with no links", partial(self.relations.make, "no_links", NO_LINKS), (), links)
        candidates = ("candidate_persons", "identifier_status", "scored_residual")
        doubted = None
        if self.former:
            doubted = f"(select distinct n, person, {literal(former_rows.FORMER_NUMBER)} as doubt from doubtful_former)"
        spine = ("known_rows", "former_rows", "former_persons", "doubtful_former") if self.former else ()
        self._add(
            "find candidates by blocking rules",
            partial(probabilistic.find_candidates, context, known, self.spine, doubted),
            (known, self.standing, *spine, *self.binding),
            candidates,
        )
        self.scored.append("scored_residual")
        already = ("already_linked", "already_linked_counts")
        linked = partial(probabilistic.find_already_linked, context, list(links))
        self._add("find who is linked already", linked, (*links, "candidate_persons"), already)
        if calibrate:
            run = partial(probabilistic.calibrate, context, known, list(links))
            self._add("calibrate", run, (known, *links, *already, "candidate_persons", "identifier_status"), ())
        made = ("links_probable", "unlinked_probable", "reviews_residual")
        probable = partial(probabilistic.link_probable, context, known)
        self._add("link by weight", probable, (known, *already, "candidate_persons"), made)
        self.links, self.unlinked = [*links, made[0]], made[1]

    def _cluster(self) -> None:
        reviews = "reviews_residual"
        if self.former:
            reviews, links = "reviews_with_former", f"({union(self.links)})"
            find = partial(
                former_rows.find_reviews, self.context, "doubtful_former", links, "reviews_residual", reviews
            )
            self._add(
                "find reviews of former numbers", find, ("doubtful_former", "reviews_residual", *self.links), (reviews,)
            )
        made = ("cluster_edges", "links_clusters", "reviews_clusters", "scored_clusters")
        run = partial(clustering.cluster_rows, self.context, self.unlinked, reviews)
        self._add("cluster the others", run, (self.unlinked, reviews, *self._undecided()), made)
        self.links.append("links_clusters")
        self.scored.append("scored_clusters")
        self.reviews = (reviews, "reviews_clusters")

    def _finish(self) -> None:
        names = ("row_links", "review_pairs")
        if self.decided:
            names = ("links_of_stages", "reviews_of_stages")
        self._add(
            "gather links", partial(self.relations.show, names[0], union(self.links)), tuple(self.links), names[:1]
        )
        self._add(
            "gather reviews", partial(self.relations.show, names[1], union(self.reviews)), self.reviews, names[1:]
        )
        if self.decided:
            self._add(
                "let decisions hold",
                partial(self._apply, *names),
                (*names, "duplicates", "cluster_edges", *self.binding),
                ("row_links", "review_pairs", "founders_by_decision"),
            )
        pairs = partial(self.relations.show, "scored_pairs", union(self.scored))
        self._add("gather scored pairs", pairs, tuple(self.scored), ("scored_pairs",))
        also = ("founders_by_decision",) if self.decided else ()
        rows = " union ".join(f"select n from {name}" for name in (self.unlinked, *also))
        founders = f"select rows.n from ({rows}) as rows anti join row_links as links on links.n = rows.n"
        self._add(
            "find provisional founders",
            partial(self.relations.make, "provisional_founders", founders),
            (self.unlinked, "row_links", *also),
            ("provisional_founders",),
        )

    def _apply(self, links: str, reviews: str) -> None:
        assert self.linking.constraints is not None, "decisions were constrained before"
        apply_decisions.apply(self.relations, self.linking.constraints, links, reviews)
