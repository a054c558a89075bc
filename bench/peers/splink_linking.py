"""Splink 5 alone: link the agencies' rows to the rows of the spine.

Set up as its manual advises for large links on DuckDB: term frequencies on names and places, u by random sampling, m by
expectation and maximisation on two blocking rules, blocking rules tight enough for the size, link only. It gets the same
cleaned rows, the identifier among its comparisons, the folded name made beforehand, and the same memory limit.
"""

from __future__ import annotations

import logging
from pathlib import Path

import duckdb
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from motlan.expressions import DUCKDB, literal

KEPT = 0.05
"""Pairs less probable than this are not kept: below every threshold that is tried."""


def settings() -> SettingsCreator:
    """Return the model: comparisons and blocking rules."""
    return SettingsCreator(
        link_type="link_only",
        unique_id_column_name="unique_id",
        probability_two_random_records_match=1e-6,
        retain_matching_columns=False,
        retain_intermediate_calculation_columns=False,
        comparisons=[
            cl.CustomComparison(
                output_column_name="personal_id",
                comparison_levels=[
                    cll.NullLevel("personal_id"),
                    cll.ExactMatchLevel("personal_id"),
                    cll.DamerauLevenshteinLevel("personal_id", 1),
                    cll.ElseLevel(),
                ],
            ),
            cl.ExactMatch("old_identity_number"),
            cl.CustomComparison(
                output_column_name="name",
                comparison_levels=[
                    cll.NullLevel("name"),
                    cll.ExactMatchLevel("name", term_frequency_adjustments=True),
                    cll.DamerauLevenshteinLevel("name", 1),
                    cll.JaroWinklerLevel("name", 0.92),
                    cll.ElseLevel(),
                ],
            ),
            cl.CustomComparison(
                output_column_name="birth_date",
                comparison_levels=[
                    cll.NullLevel("birth_date"),
                    cll.ExactMatchLevel("birth_date", term_frequency_adjustments=True),
                    cll.CustomLevel(
                        "birth_date_l[1:5] = birth_date_r[1:5] and birth_date_l[6:7] = birth_date_r[9:10] "
                        "and birth_date_l[9:10] = birth_date_r[6:7]",
                        label_for_charts="day and month swapped",
                    ),
                    cll.DamerauLevenshteinLevel("birth_date", 1),
                    cll.CustomLevel("birth_date_l[1:4] = birth_date_r[1:4]", label_for_charts="same year"),
                    cll.ElseLevel(),
                ],
            ),
            cl.ExactMatch("sex"),
            cl.CustomComparison(
                output_column_name="residence",
                comparison_levels=[
                    cll.NullLevel("residence_commune"),
                    cll.ExactMatchLevel("residence_commune", term_frequency_adjustments=True),
                    cll.ExactMatchLevel("residence_province"),
                    cll.ElseLevel(),
                ],
            ),
        ],
        blocking_rules_to_generate_predictions=[
            block_on("personal_id"),
            block_on("old_identity_number"),
            block_on("name", "birth_date"),
            block_on("birth_date", "residence_commune"),
            block_on("name", "residence_commune"),
        ],
    )


def link(rows: str, spine: str, folder: Path, memory_limit: str, threads: int, target: Path) -> None:
    """Link and write the pairs.

    Args:
        rows: SQL relation of the agencies' rows: `id`, `name` and the identity fields.
        spine: The same of the spine's.
        folder: Where the engine may spill.
        memory_limit: Its limit.
        threads: Its threads.
        target: Parquet file to write: `l` and `r` (`id` of the spine's row and of the other), `weight`, `probability`.
    """
    logging.getLogger("splink").setLevel(logging.ERROR)
    con = duckdb.connect(config={"memory_limit": memory_limit, "threads": threads, "temp_directory": str(folder)})
    con.execute("set enable_progress_bar = false")
    con.execute(f"create table a_spine as select * rename (id as unique_id) from {spine}")
    con.execute(f"create table b_rows as select * rename (id as unique_id) from {rows}")
    api = DuckDBAPI(con)
    frames = [api.register("a_spine"), api.register("b_rows")]
    linker = Linker(frames, settings(), log_level=None)
    training = linker.training
    training.estimate_probability_two_random_records_match([block_on("personal_id")], recall=0.9)
    training.estimate_u_using_random_sampling(max_pairs=1e6, seed=1)
    training.estimate_parameters_using_expectation_maximisation(block_on("personal_id"))
    training.estimate_parameters_using_expectation_maximisation(block_on("name", "birth_date"))
    pairs = linker.inference.predict(threshold_match_probability=KEPT)
    con.execute(
        f"copy (select unique_id_l as l, unique_id_r as r, match_weight as weight, match_probability as probability "
        f"from {DUCKDB.quote(pairs.physical_name)}) to {literal(str(target))} (format parquet)"
    )
