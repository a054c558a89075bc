"""Vietnamese name parts and their weights.

Canonical spelling: NFC, with the tone mark of an open `oa`, `oe`, `uy` on its first vowel (`Hòa`, `Thúy`).
Family-name shares follow the usual published ranking; the given names are ours. Nobody here exists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

FAMILY: dict[str, dict[str, float]] = {
    "kinh": {
        "Nguyễn": 38, "Trần": 11, "Lê": 9.5, "Phạm": 7, "Hoàng": 3.2, "Huỳnh": 1.9, "Phan": 4.5, "Vũ": 2.6, "Võ": 1.9,
        "Đặng": 2.1, "Bùi": 2, "Đỗ": 1.9, "Hồ": 1.6, "Ngô": 1.5, "Dương": 1.2, "Lý": 0.7, "Đào": 0.8, "Đoàn": 0.8,
        "Vương": 0.4, "Trịnh": 0.7, "Trương": 1, "Đinh": 0.7, "Lâm": 0.4, "Phùng": 0.3, "Mai": 0.5, "Tô": 0.3,
        "Tạ": 0.3, "Hà": 0.5, "Cao": 0.5, "Chu": 0.2, "Châu": 0.2, "Thái": 0.2, "Lương": 0.4, "Lưu": 0.3, "Quách": 0.1,
        "La": 0.1, "Kiều": 0.15, "Tống": 0.1, "Nghiêm": 0.1, "Bạch": 0.1, "Doãn": 0.1, "Ninh": 0.1, "Khuất": 0.05,
        "Tăng": 0.1, "Thân": 0.1, "Ông": 0.05, "Âu": 0.03, "Mạc": 0.05, "Lại": 0.1, "Từ": 0.1, "Triệu": 0.1, "Văn": 0.1,
    },
    "north": {
        "Hoàng": 14, "Nông": 12, "Lý": 9, "Ma": 6, "Bế": 4, "Hà": 8, "Vi": 6, "Lò": 9, "Quàng": 4, "Cà": 3, "Lường": 5,
        "Bùi": 9, "Đinh": 5, "Quách": 3, "Triệu": 6, "Bàn": 4, "Đặng": 3, "Phàn": 2, "Chảo": 2, "Dương": 3, "Lương": 4,
    },
    "mong": {"Giàng": 22, "Vàng": 18, "Sùng": 14, "Lý": 12, "Thào": 12, "Má": 6, "Hờ": 6, "Lầu": 5, "Cứ": 3, "Hạng": 3},
    "khmer": {"Thạch": 25, "Kim": 18, "Sơn": 16, "Lâm": 10, "Danh": 14, "Châu": 6, "Kiên": 5, "Lý": 4, "Tăng": 3},
    "hoa": {"Trần": 18, "Lâm": 14, "Lý": 10, "Huỳnh": 9, "Lưu": 6, "Quách": 6, "Mã": 5, "Hứa": 5, "Vương": 5, "Diệp": 4},
    "ede": {"Niê": 30, "Mlô": 18, "Byă": 10, "Êban": 14, "Ênuôl": 10, "Kbuôr": 6, "Hmok": 6, "Ksơr": 6},
    "giarai": {"Rơ Châm": 20, "Siu": 18, "Ksor": 16, "Kpă": 14, "Nay": 12, "Rmah": 12, "Rơ Lan": 8, "Đinh": 10},
}  # fmt: skip

MIDDLE: dict[str, str] = {
    "male": (
        "Văn:60 Đức:14 Minh:14 Quang:10 Hữu:10 Ngọc:9 Xuân:9 Đình:9 Công:8 Quốc:8 Thanh:8 Thành:7 Trọng:6 Anh:6 Duy:6 "
        "Hoàng:6 Gia:6 Bá:5 Tiến:5 Mạnh:5 Việt:5 Tuấn:5 Hải:4 Nhật:4 Viết:4 Huy:4 Khắc:3 Trung:4 Thế:5 Bảo:4 Phúc:3 "
        "Chí:3 Hồng:4 Đăng:3 Sỹ:2 Nguyên:2 Trí:2 Tấn:4 Phước:3 Kim:2 Vĩnh:2 Thái:2 Danh:2 Doãn:1 Quý:2 Cao:1 Như:1"
    ),
    "female": (
        "Thị:70 Ngọc:16 Thanh:11 Thu:10 Thúy:8 Thùy:8 Hồng:8 Kim:8 Phương:8 Minh:7 Mỹ:6 Bích:6 Diệu:4 Như:6 Quỳnh:5 "
        "Khánh:5 Hoàng:4 Bảo:5 Gia:4 Tuyết:4 Cẩm:4 Xuân:4 Ánh:3 Lan:3 Hoài:3 Mai:4 Nhật:2 Trúc:3 Tường:2 Yến:3 Hà:3 "
        "Vân:3 Huyền:3 Ái:2 Thảo:3 Anh:4 Tú:2 Châu:2 Lệ:2 Linh:2 Hương:3 Quế:1 Mộng:1 Thục:1 Hải:2 An:2 Đan:1 Uyên:1"
    ),
}

GIVEN: dict[str, str] = {
    "male": (
        "Hùng Tuấn Dũng Minh Nam Hải Long Sơn Cường Đức Thắng Hiếu Huy Quân Trung Thành Hoàng Kiên Bình Phong Anh Khang "
        "Bảo Phúc Khoa Đạt Tùng Lâm Tú Quang Việt Toàn Duy Hưng Thịnh Nghĩa Phát Khánh Tân Vinh Lộc An Tiến Hòa Trí "
        "Tâm Linh Hà Giang Thái Vũ Nhân Đông Tài Hậu Công Mạnh Chiến Quyết Sang Thiện Khôi Nguyên Kỳ Quý Định Hiệp Hào "
        "Bách Vương Lợi Phú Trọng Thanh Xuân Hạnh Thọ Thông Luân Lực Chính Danh Chung Cảnh Biên Bắc Bằng Cương Châu Du "
        "Dương Đăng Điền Đoàn Đồng Gia Hiển Hoan Học Hợp Huấn Huỳnh Kha Khải Khiêm Khuê Kiệt Lai Lãm Liêm Luận Lương Mẫn "
        "Nam Ngọc Nhật Ninh Oai Phi Phụng Phước Quyền Sĩ Sáng Sinh Tấn Thạch Thăng Thi Thiên Thuận Thuyên Thức Tín Tĩnh "
        "Toại Tôn Tráng Triều Triết Trường Tường Uy Văn Viễn Viên Vĩ Vượng Ý Yên Ân Ánh Út Ổn Đại Hoạch Hoài Quốc Lập"
    ),
    "female": (
        "Hương Lan Hoa Mai Linh Trang Hà Thảo Ngọc Hằng Nga Hạnh Thủy Phương Anh Hồng Yến Vân Huyền Nhung Loan Thu Hiền "
        "Dung Oanh Liên Thúy Chi My Nhi Ngân Quỳnh Trinh Tuyết Vy Trâm Giang Diệp Tâm Bích Châu Đào Diễm Hòa Hậu Huệ "
        "Khánh Kim Lệ Ly Mỹ Minh Nguyệt Nhàn Như Phượng Quyên Sương Thanh Thắm Thơ Thoa Thùy Tiên Trà Trúc Tú Uyên Xuân "
        "Xuyến Ái Ánh Bình Cúc Duyên Giao Hảo Hân Khuê Lam Lành Liễu Lý Miên Mơ Na Nết Ngà Ngoan Nhạn Nữ Phụng Phước "
        "Quế Quý San Sen Tơ Thái Thi Thoại Thục Thương Tình Tường Vi Viên Vui Ý Yên Ân Đan Hiên Hiếu Hoài Huế Hường "
        "Khương Kiều Lụa Luyến Mận Mến Mùi Nhài Nụ Nương Oanh Phi Phúc Sáu Tám Thạch Thêu Thìn Toan Tư Tươi Út Vinh Xinh"
    ),
    "ede_male": "Bhăm Blô Dhơn Đăm Krông Ngông Phôn Sơn Thuyên Wơn Nghị Khuê Jăk Bliu Brơng Luê Rin Kim Yôn Săm",
    "ede_female": "Hen Blă Dung Đuôn Juôn Lan Linh Mai Ngăm Nhung Ruê Thương Yôn Bum Djuên Lem Nga Wer Rin Zina",
}

GROUPS: tuple[tuple[str, str, str, float, str], ...] = (
    ("01", "Kinh", "kinh", 85.3, ""),
    ("02", "Tày", "north", 1.9, "04 20 19 08 24"),
    ("03", "Thái", "north", 1.9, "14 11 12 38 40"),
    ("04", "Hoa", "hoa", 0.8, "79 75 92 91"),
    ("05", "Khmer", "khmer", 1.4, "92 86 91 96"),
    ("06", "Mường", "north", 1.5, "25 38"),
    ("07", "Nùng", "north", 1.1, "20 04 24 66"),
    ("08", "Mông", "mong", 1.5, "08 15 11 14 12"),
    ("09", "Dao", "north", 0.9, "08 15 04 22"),
    ("10", "Gia-rai", "giarai", 0.6, "52 66 51"),
    ("12", "Ê-đê", "ede", 0.5, "66"),
    ("13", "Ba-na", "giarai", 0.3, "52 51"),
    ("17", "Chăm", "kinh", 0.2, "56 68 91"),
    ("19", "Hrê", "kinh", 0.2, "51"),
    ("20", "Mnông", "ede", 0.2, "68 66"),
)
"""Ethnic groups: code, name, style of names, share in per cent, provinces of July 2025 where most of them live."""


def families() -> Iterator[tuple[str, str, float]]:
    """Yield (style, family name, weight)."""
    for style, names in FAMILY.items():
        for name, weight in names.items():
            yield style, name, weight


def middles() -> Iterator[tuple[str, str, float]]:
    """Yield (sex, middle name, weight)."""
    for sex, text in MIDDLE.items():
        for item in text.split():
            name, weight = item.split(":")
            yield sex, name, float(weight)


def givens() -> Iterator[tuple[str, str, float]]:
    """Yield (sex or style and sex, given name, weight); weights fall with the rank, as given names are shared by many."""
    for kind, text in GIVEN.items():
        for rank, name in enumerate(dict.fromkeys(text.split())):
            yield kind, name, 1 / (12 + rank)


def slots(rows: Sequence[tuple[str, str, float]], size: int) -> list[tuple[str, str, int, int]]:
    """Share `size` equally likely slots among weighted values, for each key of its own.

    Args:
        rows: (key, value, weight).
        size: slots for each key; a value gets its share of them, none if its share is less than half a slot.

    Returns:
        (key, value, first slot, slot after the last), every slot of every key given out.
    """
    groups: dict[str, list[tuple[str, float]]] = {}
    for key, value, weight in rows:
        groups.setdefault(key, []).append((value, weight))
    out: list[tuple[str, str, int, int]] = []
    for key, values in groups.items():
        total = sum(weight for _, weight in values)
        reached, start = 0.0, 0
        for value, weight in values:
            reached += weight
            end = round(size * reached / total)
            out.append((key, value, start, end))
            start = end
    return out
