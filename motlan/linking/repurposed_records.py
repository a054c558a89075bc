"""Records that were corrected into somebody else: an id must not follow them.

A register may write another person into a record that it has (a number that is given again, a form filled in for the wrong file).
The record's new version is weighed against its older ones, as any two rows are, by the released model. Where it surely is
another person, the record counts as one that left its person, and came to whom it is about now.
"""

from __future__ import annotations

from motlan.config.matching import Matching
from motlan.linking import linking_rows
from motlan.linking import model as models
from motlan.linking.model import Model
from motlan.linking.relations import Relations

_VALUES = "values_of_versions"


def find_turned(relations: Relations, matching: Matching, model: Model, rows: str, linked: str) -> None:
    """Make `turned` (`dataset`, `_key`): records of `met` whose new version is surely about somebody else.

    It is held against the version before, and against the first one that had the person's id: who is changed step by step into
    another is noticed too.

    Args:
        relations: The relations, with `met`; the session has `frequencies`.
        matching: The declaration.
        model: The model.
        rows: Relation of all accepted rows: `dataset`, `_key`, `_ref` and the fields.
        linked: Relation of all published versions of links: `dataset`, `_key`, `_ref`, `entity_id`, `_run`.
    """
    with relations.scope(keep=["turned"]):
        renewed = relations.make(
            "renewed",
            """select dataset, _key, old_ref, _ref, was from met
               where old_ref is not null and _ref is not null and old_ref != _ref""",
        )
        if not relations.fetch_one(f"select count(*) from {renewed}")[0]:
            relations.make("turned", f"select dataset, _key from {renewed} limit 0")
            return
        _load_versions(relations, rows, linked)
        linking_rows.load_values(relations, matching, "versions", _VALUES)
        columns, joins = models.rarities(matching, model, "frequencies", "d")
        old = linking_rows.prepared(matching, "versions", "not new", _VALUES)
        relations.make("older", f"select d.*{', ' + columns if columns else ''} from ({old}) as d{joins}")
        relations.make("newer", linking_rows.prepared(matching, "versions", "new", _VALUES))
        relations.make(
            "turned",
            f"""select distinct r.dataset, r._key from older as l join newer as r on r.n = l.n
                where {models.weight(matching, model)} <= {-matching.turned}""",
        )


def _load_versions(relations: Relations, rows: str, linked: str) -> None:
    """Make `versions`: the rows of `renewed` records, before and now (`new`), and the first of the person."""
    relations.make(
        "versions_to_compare",
        f"""select dataset, _key, old_ref as _ref, false as new from renewed
            union select dataset, _key, arg_min(_ref, _run), false
                  from (select l.dataset, l._key, l._ref, _run from {linked} as l
                        join renewed as r on r.dataset = l.dataset and r._key = l._key and r.was = l.entity_id)
                  group by dataset, _key
            union all select dataset, _key, _ref, true from renewed""",
    )
    relations.make(
        "versions",
        f"""select r.*, new from {rows} as r
            join (select _ref as version_ref, dataset as of, new from versions_to_compare) as v
            on version_ref = r._ref and of = r.dataset""",
    )
