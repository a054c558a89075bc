"""Functions on the names of people.

Sources write one name in many ways: Unicode NFC or NFD, the tone mark on either vowel (hoà, hòa), upper case, without
diacritics, in a legacy one-byte encoding, or as UTF-8 encoded twice. A repair is made only where the text cannot be a
plain name and what comes out can: a wrong repair would be worse than none.
"""

from __future__ import annotations

from mapping.functions.name_cleaning import NAMES
from motlan.expressions.functions import Function, Package, catalogue, parameters

FUNCTIONS = catalogue(
    Function(
        "person_name",
        parameters("x"),
        "A name in canonical form: legacy encodings repaired (UTF-8 encoded twice; TCVN3, that is TCVN 5712:1993 "
        "VN3; VNI; VIQR, RFC 1456; cp1258 read as cp1252), NFC, spaces and invisible characters as `text` does, look-alike "
        "apostrophes and Đ made the usual ones, proper case where all was upper or all lower case or in one that functions "
        "for ASCII alone leave (NguyỄn, đặNg), and the tone mark at its traditional place in open oa, oe, uy (hòa, khỏe, "
        "thúy), which is how most registers print it. Null where the text only says that nobody knew (NULL, Không rõ, Chưa có "
        "tên); such a word among others is dropped.",
        (
            (("Nguyễn Văn An",), "Nguyễn Văn An"),
            ((" NGUYỄN  VĂN AN ",), "Nguyễn Văn An"),
            (("nguyễn văn an",), "Nguyễn Văn An"),
            (("Hoà",), "Hòa"),
            (("PHẠM THỊ THUÝ",), "Phạm Thị Thúy"),
            (("Lê Khoẻ",), "Lê Khỏe"),
            (("Trần Hoàn",), "Trần Hoàn"),
            (("Đào Thuyền",), "Đào Thuyền"),
            (("Ngô Quý",), "Ngô Quý"),
            (("Đỗ Quỳ",), "Đỗ Quỳ"),
            (("Bùi Toại",), "Bùi Toại"),
            (("Uý",), "Úy"),
            (("H\u2019Hen Niê",), "H'Hen Niê"),
            (("H'HEN NIÊ",), "H'Hen Niê"),
            (("Y Bhăm",), "Y Bhăm"),
            (("Ðinh Lan",), "Đinh Lan"),
            (("Nguye\u0302\u0303n Va\u0306n A",), "Nguyễn Văn A"),
            (("Nguyá»…n VÄƒn Hà",), "Nguyá»…n VÄƒn Hà"),
            (("Nguyá»…n VÄƒn HÃ\u00a0",), "Nguyễn Văn Hà"),
            (("Nguyá»…n VÄƒn HÃ",), "Nguyễn Văn Hà"),
            (("Ä\u0090áº·ng Thá»‹ Hoa",), "Đặng Thị Hoa"),
            (("NguyÔn V¨n An",), "Nguyễn Văn An"),
            (("Hå H÷u Tó",), "Hồ Hữu Tú"),
            (("NGUYÔN",), "Nguyễn"),
            (("TrÇn ThÞ H\u00adng",), "Trần Thị Hưng"),
            (("Nguyeãn Vaên An",), "Nguyễn Văn An"),
            (("ÑOÃ THÒ HÖÔNG",), "Đỗ Thị Hương"),
            (("Nguye^~n Va(n A",), "Nguyễn Văn A"),
            (("DDo^~ Thi. Hu+o+ng",), "Đỗ Thị Hương"),
            (("Müller François",), "Müller François"),
            (("Israël Noël",), "Israël Noël"),
            (("Hà Thò Tó",), "Hà Thò Tó"),
            (("MÃ",), "Mã"),
            (("Lyì Kim An",), "Lý Kim An"),
            (("Lýõng Thiò BiÌnh",), "Lương Thị Bình"),
            (("LYÌ KIM AN",), "LYÌ KIM AN"),
            (("Giò",), "Giò"),
            (("lãª minh lan",), "Lê Minh Lan"),
            (("vãµ ä\x90á»©c nga",), "Võ Đức Nga"),
            (("VÃ\u039c Ä\x90Á»©C NGA",), "Võ Đức Nga"),
            (("lãš minh",), "lãš minh"),
            (("NguyỄn ThỊ HÀ",), "Nguyễn Thị Hà"),
            (("nguyỄn ĐỨc ánh",), "Nguyễn Đức Ánh"),
            (("Nguyễn đức ánh",), "Nguyễn Đức Ánh"),
            (("đặNg VăN Hồng",), "Đặng Văn Hồng"),
            (("NgÔ Minh Anh",), "Ngô Minh Anh"),
            (("Y BhĂm NiÊ",), "Y Bhăm Niê"),
            (("McDonald",), "McDonald"),
            (("María de la Cruz",), "María de la Cruz"),
            (("Nguyễn Văn An II",), "Nguyễn Văn An II"),
            (("Noé",), "Noé"),
            (("Khổng An",), "Khổng An"),
            (("Nguyễn NULL An",), "Nguyễn An"),
            (("NULL",), None),
            (("None",), None),
            (("Không rõ",), None),
            (("CHUA CO TEN",), None),
            (("(undefined)",), None),
            (("#N/A",), None),
            (("-",), None),
            (("",), None),
            ((None,), None),
        ),
        idempotent=True,
        pattern=r"\S+( \S+)*",
        storable=True,
    ),
    Function(
        "name_encoding",
        parameters("x"),
        "The legacy encoding that `person_name` undoes in a name: `utf8_twice`, `tcvn3` (TCVN 5712:1993 VN3), `vni`, `viqr` "
        "(RFC 1456) or `cp1258` (read as cp1252). Null where it undoes none, because there is no sign of one, or its "
        "confidence stays under 0.75.",
        (
            (("Nguyá»…n VÄƒn An",), "utf8_twice"),
            (("NguyÔn V¨n An",), "tcvn3"),
            (("TrÇn ThÞ H\u00adng",), "tcvn3"),
            (("Nguyeãn Vaên An",), "vni"),
            (("Nguye^~n Va(n A",), "viqr"),
            (("Lyì Kim An",), "cp1258"),
            (("lãª minh lan",), "utf8_twice"),
            (("Nguyễn Văn An",), None),
            (("NGUYEN VAN AN",), None),
            (("Müller François",), None),
            ((None,), None),
        ),
    ),
    Function(
        "encoding_confidence",
        parameters("x"),
        "How sure it is, from 0 to 1, that a name stands in a legacy encoding: 0.99 where it has a sequence that no spelling "
        "has; 0.95 where every word with a sign of the encoding decodes to a syllable that Vietnamese spelling allows; 0.8 "
        "where there is no sign, but the text breaks that spelling and what comes out keeps it; 0.3 where signs are all there "
        "is; else 0. From 0.75 on `person_name` undoes it.",
        (
            (("Nguyá»…n VÄƒn An",), 0.99),
            (("NguyÔn V¨n An",), 0.99),
            (("Hå H÷u Tó",), 0.99),
            (("Vaên",), 0.99),
            (("Nguyeãn",), 0.95),
            (("TrÇn ThÞ Hoa",), 0.95),
            (("NGUYÔN",), 0.8),
            (("Müller François",), 0.3),
            (("Nguyễn Văn An",), 0.0),
            (("NGUYEN VAN AN",), 0.0),
            ((None,), None),
        ),
    ),
    Function(
        "name_key",
        parameters("x"),
        "What two spellings of one name share: lower case, no diacritics (đ is d), y written i (Lý, Lí), only a to z "
        "and single spaces; apostrophes vanish, other marks part words. Null when nothing is left.",
        (
            (("Nguyễn Thị Lý",), "nguien thi li"),
            (("ĐẶNG H'Hen-Niê",), "dang hhen nie"),
            (("Hoà",), "hoa"),
            (("...",), None),
            ((None,), None),
        ),
        idempotent=True,
        proposed_for="name",
    ),
    Function(
        "name_toneless",
        parameters("x"),
        "A name in lower case without its tone marks, vowels and đ kept: ă, â, ê, ô, ơ, ư are letters of their own.",
        ((("Nguyễn Đức Hòa",), "nguyên đưc hoa"), ((None,), None)),
        idempotent=True,
    ),
    Function(
        "other_marks",
        parameters("a, b"),
        "Whether two names both have marked letters, and not the same (An and Ân are two given names); letters alone are "
        "compared, whatever their case, y written i. False where one has none at all: it may have lost them.",
        (
            (("Nguyễn Văn An", "Nguyễn Văn Ân"), True),
            (("Nguyễn Văn Tú", "NGUYỄN VĂN TU"), True),
            (("Nguyễn Văn Lý", "Nguyễn Văn Lí"), False),
            (("H'Hen Niê", "H’HEN-NIÊ"), False),
            (("NGUYEN VAN AN", "Nguyễn Văn Ân"), False),
            ((None, "Nguyễn Văn Ân"), None),
        ),
    ),
    Function(
        "given_name_key",
        parameters("x"),
        "The last word of the name's key. In Vietnamese names the given name comes last, and tells people apart "
        "where about 38 % are Nguyễn.",
        ((("Nguyễn Thị Lý",), "li"), (("An",), "an"), ((None,), None)),
        idempotent=True,
    ),
    Function(
        "spelt_in_vietnamese",
        parameters("x"),
        "Whether every word of a text is one that Vietnamese spelling allows (letters, vowel groups and tone marks fit "
        "together). Names of other languages are not, and neither are most slips of the pen.",
        (
            (("Nguyễn Văn An",), True),
            (("Nguyễn Văn Ann",), False),
            (("Nguyen Van An",), False),
            (("Khảải",), False),
            (("H'Hen Niê",), False),
            ((None,), None),
        ),
    ),
    Function(
        "contains_only_letters",
        parameters("x"),
        "Whether a name has only Vietnamese letters (NFC), spaces, apostrophes and hyphens, in sequences that letters have: "
        "an ì or ò behind a vowel is a mark of another encoding (Lyì).",
        (
            (("Nguyễn Văn Đức",), True),
            (("H'Hen Niê",), True),
            (("Quì Giò",), True),
            (("Lyì Kim An",), False),
            (("Nguyen 2",), False),
            (("Nguy\ufffdn",), False),
            (("Müller",), False),
            ((None,), None),
        ),
    ),
)
"""The functions, by name."""

PACKAGE = Package(
    name="mapping/functions/names.py",
    functions=FUNCTIONS,
    duckdb=NAMES,
)
"""Functions on names."""
