"""Names that one JSON object has twice. RFC 8259 (section 4) does not forbid them and leaves open what they mean.

The last one counts, as nearly every reader has it, and the others are kept beside it. To keep them costs a third of the
parser's time, so a document is read so only where it has more names than objects have keys.
"""

from __future__ import annotations

from typing import Any


def keep_all(pairs: list[tuple[str, Any]]) -> dict[Any, Any]:
    """Make an object of its members: the last of a name under the name, the others under (name, 1), (name, 2), ...

    >>> keep_all([("a", 1), ("a", 2), ("b", 3)])
    {'a': 2, 'b': 3, ('a', 1): 1}
    """
    made: dict[Any, Any] = dict(pairs)
    if len(made) < len(pairs):
        last = {name: place for place, (name, _) in enumerate(pairs)}
        times: dict[str, int] = {}
        for place, (name, value) in enumerate(pairs):
            if place != last[name]:
                times[name] = times.get(name, 0) + 1
                made[name, times[name]] = value
    return made


def may_be_doubled(text: str, document: Any) -> bool:
    """Tell whether a document may have a name twice in an object; never False where it has.

    Args:
        text: The document as it was sent.
        document: What was parsed.

    >>> may_be_doubled('[{"a": 1}, {"a": {"b": 2}}]', [{"a": 1}, {"a": {"b": 2}}])
    False
    >>> may_be_doubled('{"a": 1, "a": 2}', {"a": 2})
    True
    """
    said = text.count('":')
    if said == _flat(document):
        return False
    return said + text.count('" :') != _deep(document)


def _flat(document: Any) -> int:
    """Count the keys of an object and of the objects in its lists: all there are, in most answers."""
    parts = document.values() if type(document) is dict else (document,)
    lists = [part for part in parts if type(part) is list and set(map(type, part)) == {dict}]
    return sum(sum(map(len, part)) for part in lists) + (len(document) if type(document) is dict else 0)


def _deep(document: Any) -> int:
    """Count the keys of all objects."""
    waiting, count = [document], 0
    while waiting:
        part = waiting.pop()
        if type(part) is dict:
            count += len(part)
            waiting.extend(value for value in part.values() if type(value) in (dict, list))
        elif type(part) is list:
            waiting.extend(value for value in part if type(value) in (dict, list))
    return count
