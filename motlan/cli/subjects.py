"""Groups of commands whose first word may be what they are about, such as `motlan hold publish`."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup


def group_about(command: str) -> type[TyperGroup]:
    """Return a kind of group that gives a word which is none of its commands to one of them, as its argument.

    Args:
        command: That command's name.
    """

    class GroupAbout(TyperGroup):
        def resolve_command(self, ctx: typer.Context, args: list[str]) -> Any:  # type: ignore[override]
            if args and args[0] not in self.commands and not args[0].startswith("-"):
                args = [command, *args]
            return super().resolve_command(ctx, args)

    return GroupAbout
