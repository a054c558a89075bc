"""What a source refuses, told with the variable that is meant: an adapter knows its credential, and not the name of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from motlan.config.registry import Dataset
from motlan.errors import AccessError


@contextmanager
def naming_the_credential(dataset: Dataset) -> Iterator[None]:
    """Name, where a source refuses who asks, the variable that holds the credential.

    Args:
        dataset: Which is asked for.

    Raises:
        AccessError: The source refused.
    """
    try:
        yield
    except AccessError as error:
        if not dataset.credential:
            raise
        variable = f"MOTLAN_CREDENTIAL_{dataset.credential}"
        step = f"check {variable}, the credential for {dataset.agency}; where it is right, ask {dataset.owner}."
        raise AccessError(error.what, where=error.where, next_step=step) from None
