"""The words of a lineage are there in both languages, and say the same."""

import string

from motlan.config import registry
from motlan.lineage.paragraph import write_paragraph
from motlan.lineage.words import ENGLISH, PREFIX, Words
from tests.conftest import ROOT

BUS_WORDS = ("founder", "commitment", "spine", "golden", "landed", "payload", "survivorship", "provenance")


def placed(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_the_declared_half_has_every_sentence_with_the_same_values() -> None:
    messages = registry.load(ROOT).messages
    declared = {key.removeprefix(PREFIX): said for key, said in messages.items() if key.startswith(PREFIX)}
    assert declared.keys() == ENGLISH.keys()
    assert {key: said.en for key, said in declared.items()} == dict(ENGLISH)
    assert [key for key, said in declared.items() if placed(said.vi) != placed(said.en)] == []


def test_no_word_of_the_bus_s_own_stands_in_them() -> None:
    assert [text for text in ENGLISH.values() for word in BUS_WORDS if word in text.lower()] == []


def test_a_paragraph_says_what_is_so_why_and_who_said_otherwise() -> None:
    words = Words(registry.load(ROOT), "vi")
    assert words.title("Birth date (ngày, tháng, năm sinh).") == "ngày, tháng, năm sinh"
    told = write_paragraph(CHAIN, words)
    assert told.startswith("Nhà nước ghi nhận ngày sinh của người này là “1970-02-01”.")
    assert "Người nộp thuế ghi “1970-02-03”; giá trị đó không được lấy vì giá trị đó được ghi sớm hơn." in told
    assert "theo căn cứ pháp lý: Nghị định." in told
    assert "CẢNH BÁO" in told and "tệp nguyên gốc ghi khác" in told


CHAIN = {
    "field": "birth_date",
    "title": "Birth date (ngày sinh).",
    "value": "1970-02-01",
    "replays_equal": False,
    "reasons": {"the payload, read again, gives another row": 1},
    "files": [],
    "not_read_again": [],
    "decision": {
        "rule": "freshness",
        "disputed": True,
        "said": [{"dataset": "tax_taxpayers", "value": "1970-02-03", "outcome": "lost", "why": "older"}],
    },
    "source": {
        "dataset": "insurance_members",
        "key": "B1",
        "source_moment": "2026-09-01T00:00:00Z",
        "cleaned_by": {"steps": [{}]},
        "link": {"rule": "founder", "compared": None, "reviewers": [], "probability": None},
        "landed": {"at": "2026-09-02T00:00:00+00:00", "raw": {"born": "01/02/1970"}},
    },
    "since": {"publication": 2, "recorded_at": "2026-09-03T00:00:00+00:00", "changed": True, "before": "1970"},
    "corrections": [],
    "received": [{"agency": "tax", "at": "2026-09-04T00:00:00+00:00", "legal_basis": "Nghị định"}],
}
