"""When a dataset is pulled next, by its declared schedule."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from croniter import croniter
from croniter.croniter import CroniterError

from motlan.config.registry import Registry


def next_run(schedule: str, zone: str, now: datetime | None = None) -> datetime | None:
    """Return the next moment of a schedule, in its zone; None where the schedule cannot be read.

    Args:
        schedule: Cron, five fields, or a name such as `@daily`.
        zone: IANA name of the zone that it is written in.
        now: From when on; by default from now on.
    """
    began = (now or datetime.now(UTC)).astimezone(ZoneInfo(zone))
    try:
        found: datetime = croniter(schedule, began).get_next(datetime)
    except (CroniterError, ValueError, KeyError):
        return None
    return found


def next_runs(registry: Registry, now: datetime | None = None) -> dict[str, str | None]:
    """Return when each dataset is pulled next: dataset -> moment in ISO 8601 with its zone's offset, the earliest first.

    None stands where a schedule cannot be read: its dataset is pulled by hand alone.
    """
    found = {one.name: next_run(one.schedule, registry.schedule_zone, now) for one in registry.datasets.values()}
    never = datetime.max.replace(tzinfo=UTC)
    ordered = sorted(found.items(), key=lambda pair: pair[1] or never)
    return {name: moment.isoformat() if moment else None for name, moment in ordered}
