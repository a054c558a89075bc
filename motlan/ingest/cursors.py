"""Cursors: what a source writes beside a row to order its changes, read into one form that can be compared.

    moment               an instant, in any form of ISO 8601; one without a zone is of the source's declared zone
    epoch_seconds        an instant, as seconds since 1970-01-01T00:00:00Z; epoch_milliseconds likewise
    sequence             a whole number that grows
    token                a text that only the source understands, ordered as text (a drop's name)

Instants become UTC, `2026-10-01T00:00:00.000000Z`, so that texts compare as instants do; a sequence number loses its
leading zeros. What cannot be read is null. A cursor is handed back to its source in the source's own written form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from functools import cache
from zoneinfo import ZoneInfo

import duckdb

from motlan.adapter import CursorType
from motlan.errors import ConfigurationError
from motlan.expressions import literal

INSTANTS: frozenset[CursorType] = frozenset({"moment", "epoch_seconds", "epoch_milliseconds"})
"""Types whose cursors are moments in time."""
_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"
_OPAQUE = r"[^\x00-\x1f\x7f]{1,1000}"
_SEQUENCE = r"[+-]?\d{1,38}(\.0+)?"
_EPOCH = {"epoch_seconds": (r"-?\d{1,12}([.]\d+)?", 6), "epoch_milliseconds": (r"-?\d{1,15}([.]\d+)?", 3)}
"""Pattern, and how many digits behind it microseconds stand."""

# What nearly all sources write is cast as it stands. Years near the end of the calendar are left to the slow way.
_DAY = r"(?:[1-8]\d{3}|9[0-8]\d\d|99[0-8]\d|999[0-8])-\d\d-\d\d"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:[.]\d+)?"
_WITH_ZONE = rf"{_DAY}[T ]{_CLOCK}(?:Z|[+-](?:0\d|1[0-5])(?::?[0-5]\d)?)"
_WITHOUT_ZONE = rf"{_DAY}[T ]{_CLOCK}"
_PARTS = (
    r"(\d{4})(-?)(\d\d)-?(\d\d)(?:([Tt ]?)(\d\d)(?:(:?)(\d\d)(?::?(\d\d)(?:[.,](\d+))?)?)?"
    r" ?([Zz]|UTC|GMT|[+-]\d\d(?::?\d\d)?)?)?"
)
_NAMES = ("y", "dash", "mo", "d", "sep", "h", "colon", "mi", "s", "f", "z")


def _let(value: str, name: str, body: str) -> str:
    """Bind a value that is needed more than once."""
    return f"list_transform([{value}], lambda {name}: {body})[1]"


def _padded(pattern: str) -> str:
    return rf"\s*{pattern}\s*"


def _is(pattern: str, value: str) -> str:
    """Return the SQL of whether a text is of a form, white space around it aside."""
    return f"regexp_full_match({value}, {literal(_padded(pattern))})"


def _bounded(stamp: str) -> str:
    """Return the SQL of a time stamp's canonical form, where its year has four digits."""
    whole = f"strftime(t, {literal(_FORMAT)})"
    return _let(stamp, "t", f"case when t >= timestamp '1000-01-01' and t < timestamp '10000-01-01' then {whole} end")


@dataclass(frozen=True)
class Cursors:
    """How a dataset's cursors are read, ordered and written.

    Attributes:
        kind: The cursor's type.
        zone: IANA name of the zone of moments that are written without one.
    """

    kind: CursorType
    zone: str = "UTC"

    @property
    def are_instants(self) -> bool:
        """Whether a cursor is a moment in time, which a clock can bound."""
        return self.kind in INSTANTS

    def canonical(self, column: str) -> str:
        """Return the SQL of the canonical form of a text column's cursors; null where there is none that can be read."""
        if self.kind == "moment":
            return self._moment(column)
        if self.kind == "sequence":
            number = f"try_cast(trim(split_part({column}, '.', 1)) as hugeint)::varchar"
            return f"case when {_is(_SEQUENCE, column)} then {number} end"
        if self.kind == "token":
            return f"case when regexp_full_match({column}, {literal(_OPAQUE)}) then {column} end"
        return self._epoch(column)

    def ordered(self, canonical: str) -> str:
        """Return the SQL of what orders cursors in canonical form."""
        return f"({canonical})::hugeint" if self.kind == "sequence" else canonical

    def rank(self, canonical: str) -> int | str:
        """Return what orders a cursor in canonical form, as `ordered` does."""
        return int(canonical) if self.kind == "sequence" else canonical

    def read(self, engine: duckdb.DuckDBPyConnection, text: str) -> str | None:
        """Return the canonical form of one cursor, None where it cannot be read."""
        row = engine.execute(f"select {self.canonical('cursor')} from (select ?::varchar as cursor)", [text]).fetchall()
        found: str | None = row[0][0]
        return found

    def step_back(self, canonical: str, lag: int) -> str:
        """Step back from a cursor by the lag window: seconds of an instant, a number of numbers.

        Raises:
            ConfigurationError: There is no stepping back from a token.
        """
        if not lag:
            return canonical
        if self.kind == "sequence":
            return str(int(canonical) - lag)
        if not self.are_instants:
            raise ConfigurationError(
                "no lag can be reckoned from a cursor that is a token",
                where="adapters/agencies.yaml",
                next_step="declare lag: 0, or the cursor_type that it has.",
            )
        try:
            return canonical_moment(moment_of(canonical) - timedelta(seconds=lag))
        except OverflowError:
            return canonical

    def written(self, canonical: str, sample: str) -> str:
        """Return a cursor as its source writes it; never later than the cursor, so that nothing is passed over.

        Args:
            canonical: The cursor.
            sample: One that the source wrote: its form is taken.
        """
        if self.kind == "moment":
            return self._written_moment(moment_of(canonical), sample)
        if not self.are_instants:
            return (
                canonical.zfill(len(sample.strip()))
                if self.kind == "sequence" and sample.startswith("0")
                else canonical
            )
        whole = Decimal((moment_of(canonical) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
        unit = Decimal(10**6 if self.kind == "epoch_seconds" else 10**3)
        digits = len(sample.strip().partition(".")[2])
        return str((whole / unit).quantize(Decimal(1).scaleb(-min(digits, 6)), rounding=ROUND_FLOOR))

    def _moment(self, value: str) -> str:
        clear = f"try_cast({value} as timestamp)"
        here = f"timezone('UTC', try_cast({value} as timestamptz))"
        there = self._in_utc(clear)
        return (
            f"case when strlen({value}) = 27 and strftime({clear}, {literal(_FORMAT)}) = {value} and {value} >= '1000'"
            f" then {value}"
            f" when regexp_full_match({value}, {literal(_WITH_ZONE)}) then strftime({here}, {literal(_FORMAT)})"
            f" when regexp_full_match({value}, {literal(_WITHOUT_ZONE)}) then strftime({there}, {literal(_FORMAT)})"
            f" when {_is(_PARTS, value)} then {self._by_parts(value)} end"
        )

    def _epoch(self, value: str) -> str:
        pattern, digits = _EPOCH[self.kind]
        micros = f"floor(try_cast(trim({value}) as decimal(38, 18)) * {10**digits})::bigint"
        stamp = f"make_timestamp({micros})"
        return f"case when {_is(pattern, value)} then {_bounded(stamp)} end"

    def _by_parts(self, value: str) -> str:
        """Read the forms that no cast reads: basic form, days and hours alone, 24:00, a leap second, a comma."""
        names = ", ".join(map(literal, _NAMES))
        parts = f"regexp_extract({value}, {literal('^' + _padded(_PARTS) + '$')}, [{names}])"
        hour, minute, second = (f"coalesce(try_cast(m.{name} as integer), 0)" for name in ("h", "mi", "s"))
        fraction = "rpad(left(m.f, 6), 6, '0')::integer"
        micros = f"((({hour} * 60 + {minute}) * 60 + {second})::bigint * 1000000 + {fraction})"
        day = "try_cast(m.y || '-' || m.mo || '-' || m.d as date)::timestamp"
        possible = (
            f"({hour} < 24 or {micros} = 86400000000) and {minute} < 60 and {second} < if({minute} = 59, 61, 60)"
            " and (m.sep <> '' or m.h = '' or (m.dash = '' and m.colon = ''))"
        )
        minutes = (
            "(substr(m.z, 2, 2)::integer * 60 + coalesce(try_cast(right(replace(m.z[4:], ':', ''), 2) as integer), 0))"
        )
        offset = f"to_minutes(if(m.z[1:1] = '-', -1, 1) * {minutes})"
        stamp = f"({day} + to_microseconds({micros}))"
        instant = (
            f"case when not ({possible}) then null when m.z = '' then {self._in_utc(stamp)}"
            f" when m.z[1:1] not in ('+', '-') then {stamp}"
            f" when {minutes} < 960 then {stamp} - {offset} end"
        )
        return _let(parts, "m", _bounded(instant))

    def _in_utc(self, stamp: str) -> str:
        """Return the SQL of a clock's reading in the declared zone, in UTC: the first time at which the clock showed it."""
        if self.zone == "UTC":
            return stamp
        zone = literal(self.zone)
        last = f"timezone('UTC', timezone({zone}, {stamp}))"
        if not self._steps_back:
            return last
        earlier = "".join(
            f" when timezone({zone}, timezone('UTC', u - to_seconds({step}))) = timezone({zone}, timezone('UTC', u))"
            f" then u - to_seconds({step})"
            for step in self._steps_back
        )
        return _let(last, "u", f"case{earlier} else u end")

    @property
    def _steps_back(self) -> tuple[int, ...]:
        return _steps_back(self.zone)

    def _written_moment(self, instant: datetime, sample: str) -> str:
        form = re.fullmatch(_PARTS, sample.strip())
        if form is None:
            return canonical_moment(instant)
        _, dash, _, _, between, hours, colon, minutes, seconds, fraction, zone = (part or "" for part in form.groups())
        local = self._clock(instant, zone) if hours else self._clock(instant, "")
        text = local.strftime(f"%Y{dash}%m{dash}%d").zfill(8 + 2 * len(dash))
        if not hours:
            return text
        text += f"{between}{local:%H}"
        text += f"{colon}{local:%M}" if minutes else ""
        text += f"{colon}{local:%S}" if seconds else ""
        if fraction:
            mark = sample.strip()[form.start(10) - 1]
            text += mark + f"{local:%f}".ljust(len(fraction), "0")[: len(fraction)]
        space = " " if zone and sample.strip()[form.start(11) - 1] == " " else ""
        return text + space + zone

    def _clock(self, instant: datetime, zone: str) -> datetime:
        """Return what a clock shows, or will show again: the earliest reading from the instant on."""
        if zone[:1] in ("+", "-"):
            digits = zone[1:].replace(":", "").ljust(4, "0")
            offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
            return (instant + (offset if zone[0] == "+" else -offset)).replace(tzinfo=None)
        if zone:
            return instant.replace(tzinfo=None)
        there = ZoneInfo(self.zone)
        readings = [instant.astimezone(there).replace(tzinfo=None)]
        for step in self._steps_back:
            turn = _turn(instant, timedelta(seconds=step), there)
            if turn is not None:
                readings.append(turn.astimezone(there).replace(tzinfo=None))
        return min(readings)


@cache
def _steps_back(name: str) -> tuple[int, ...]:
    """Return by how many seconds clocks of a zone are set back, since the year 2000."""
    zone, found = ZoneInfo(name), set()
    at = datetime(2000, 1, 1, tzinfo=UTC)
    before = at.astimezone(zone).utcoffset() or timedelta()
    for _ in range(50 * 53):
        at += timedelta(days=7)
        now = at.astimezone(zone).utcoffset() or timedelta()
        if now < before:
            found.add(int((before - now).total_seconds()))
        before = now
    return tuple(sorted(found, reverse=True))


def _turn(instant: datetime, step: timedelta, zone: ZoneInfo) -> datetime | None:
    """Return when, within a step after an instant, the clock is set back; None where it is not."""

    def offset(at: datetime) -> timedelta:
        return at.astimezone(zone).utcoffset() or timedelta()

    low, high = instant, instant + step
    before = offset(low)
    if offset(high) >= before:
        return None
    while high - low > timedelta(microseconds=1):
        middle = low + (high - low) / 2
        low, high = (middle, high) if offset(middle) >= before else (low, middle)
    return high


def canonical_moment(instant: datetime) -> str:
    """Return an instant in canonical form."""
    return instant.astimezone(UTC).strftime(_FORMAT).zfill(27)


def moment_of(canonical: str) -> datetime:
    """Return the instant of a canonical form."""
    return datetime.fromisoformat(canonical.removesuffix("Z")).replace(tzinfo=UTC)
