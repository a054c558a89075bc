"""Spark's SQL for the comparison of two texts, written by hand: on bytes, as DuckDB's are."""

from __future__ import annotations

from collections.abc import Callable

from motlan.expressions.spark import pieces as spark

# Greedy matching from the second text into the first; `used` are the places matched, in the order of the second.
_FIRST_FREE = (
    "try_element_at(filter(sequence(greatest(j - w, 1), least(j + w, size(a))),"
    " i -> a[i - 1] = b[j - 1] AND NOT array_contains(used, i)), 1)"
)
_USED = (
    "aggregate(sequence(1, size(b)), try_cast(array() AS array<int>), (used, j) -> CASE WHEN j - w > size(a) THEN used"
    f" ELSE {spark.let(_FIRST_FREE, 'CASE WHEN i IS NULL THEN used ELSE array_append(used, coalesce(i, 0)) END', 'i')} END)"
)
_SWAPS = "size(filter(zip_with(u, array_sort(u), (i, k) -> a[i - 1] <> a[k - 1]), odd -> odd)) div 2"
_JARO = f"CASE WHEN size(u) = 0 THEN 0D ELSE (size(u) / size(a) + size(u) / size(b) + (size(u) - {_SWAPS}) / size(u)) / 3 END"
_START = "size(filter(sequence(1, least(4, size(a), size(b))), n -> slice(a, 1, n) = slice(b, 1, n)))"
_WINKLER = spark.let(_JARO, f"CASE WHEN jaro > 0.7D THEN jaro + {_START} * 0.1D * (1 - jaro) ELSE jaro END", "jaro")
_WINDOW = "greatest(shiftright(greatest(size(a), size(b)), 1) - 1, 0)"


def _letters(x: str) -> str:
    return f"split({spark.bytes_of(x)}, '')"


def _both(body: str, of: Callable[[str], str]) -> str:
    """Bind something of the two sides to `a` and `b`. No argument is read inside a lambda: it may be called `a` too."""
    inner = spark.let("s.a", spark.let("s.b", body, "b"), "a")
    return spark.let(f"named_struct('a', {of('@1')}, 'b', {of('@2')})", inner, "s")


_SIMILARITY = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN @1 = '' OR @2 = '' THEN 0D WHEN @1 = @2 THEN 1D ELSE "
    + _both(spark.let(_WINDOW, spark.let(_USED, _WINKLER, "u"), "w"), _letters)
    + " END"
)

# Damerau-Levenshtein (Lowrance and Wagner 1975) by rows: `rows[i][j]` is the distance of the first i bytes from the
# first j; a row is made of the one above, and of that before the last place where the two swapped bytes stood.
_LAST_ABOVE = "coalesce(array_position(reverse(slice(a, 1, i - 1)), b[j - 1]), 0)"
_LAST_LEFT = "coalesce(array_position(reverse(slice(b, 1, j - 1)), a[i - 1]), 0)"
_SWAP = spark.let(
    _LAST_ABOVE,
    spark.let(
        _LAST_LEFT,
        "CASE WHEN up > 0 AND back > 0 THEN rows[i - up - 1][j - back - 1] + try_cast(up + back AS int) - 1 END",
        "back",
    ),
    "up",
)
_CELL = (
    "least(row[j - 1] + 1, rows[i - 1][j] + 1,"
    f" rows[i - 1][j - 1] + CASE WHEN a[i - 1] = b[j - 1] THEN 0 ELSE 1 END, {_SWAP})"
)
_ROW = f"aggregate(sequence(1, size(b)), array(i), (row, j) -> array_append(row, coalesce({_CELL}, 0)))"
_DISTANCE = (
    f"aggregate(sequence(1, size(a)), array(sequence(0, size(b))), (rows, i) -> array_append(rows, coalesce({_ROW}, array(0))),"
    " rows -> rows[size(a)][size(b)])"
)
_FEW = f"levenshtein({spark.bytes_of('@1')}, {spark.bytes_of('@2')}, 1)"
_EDITS = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN @1 = '' THEN octet_length(@2) WHEN @2 = '' THEN octet_length(@1)"
    f" WHEN {_FEW} >= 0 THEN {_FEW} ELSE {_both(_DISTANCE, _letters)} END"
)
# Two neighbours swapped and nothing else: all before and after them is alike.
_SWAPPED = (
    "length(a) = length(b) AND exists(sequence(1, greatest(length(a) - 1, 1)), i -> a = concat(substring(b, 1, i - 1),"
    " substring(b, i + 1, 1), substring(b, i, 1), substring(b, i + 2)))"
)
_ONE_EDIT = (
    "CASE WHEN @1 IS NULL OR @2 IS NULL THEN NULL WHEN abs(length(@1) - length(@2)) > 1 THEN false"
    f" WHEN {_FEW} >= 0 THEN true ELSE {_both(_SWAPPED, spark.bytes_of)} END"
)

COMPARISONS = {"similarity": _SIMILARITY, "edits": _EDITS, "one_edit": _ONE_EDIT}
"""Comparison -> SQL."""
