# ruff: noqa: E501 (lists of words)
"""Names that no world is made of: of the ethnic groups of Vietnam and of foreigners, to see that no cleaning harms one.

Parts are common knowledge of how each group's names are built; who would bear a name made of them is nobody. All are in
canonical form: NFC, the tone mark of open oa, oe, uy in its traditional place, as a person writes them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

FIXED_EACH = 60
"""Names made of the parts of each group; a few more where the group has a list of whole names."""

# Group -> patterns; {0}, {1}, {2} stand for a word of the first, second and third line of its parts.
GROUPS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "Ê Đê": (
        ("Y {0} {1}", "H'{2} {1}", "Y {0}", "H {2} {1}", "Y-{0} {1}"),
        (
            "Bhăm Blô Dhơn Đăm Krông Ngông Wơn Jăk Brơng Luê Săm Thinh Kuăn Djăng Tuyn Rơ-ôh Bliu Hăng Čuôr Khuôn",
            "Niê Mlô Byă Êban Ênuôl Kbuôr Hmok Ksơr Kđoh Niê-Kđăm Ayun Êčăm Bkrông Buôn-Yă Hđơk Knul",
            "Hen Blă Đuôn Juôn Ngăm Ruê Bum Djuên Lem Wer Rin Zina Ƀlăk Hơ-Nheng Nguôt Yar Bơr Mĭn",
        ),
    ),
    "Gia Rai": (
        ("{0} {1}", "{0} H'{2}", "{0} H' {2}", "{0} Y {1}"),
        (
            "Ksor Siu Nay Kpă Rmah Rơ-Mah Rahlan Rơ-Châm Ro-O Hiao Rcom Rơ-Lan Puih Kpuih",
            "Blơng Phước Thíu Hlơch Nhan Djôk Tơih Byưh Krok Hyơih Lơih Ayŭn Gyin Jơn Blong Tlăm Wiên",
            "Nia Bơi Yơn Lê Bom Nheo Thuin Mlan Djuê Ngăt Chrih Đim Bĭa",
        ),
    ),
    "Ba Na": (
        ("{0}", "Đinh {0}", "A {0}", "Y {1}", "Đinh Thị {1}", "Bok {0}"),
        (
            "Núp Hmunh Yưng Byưng Hnhơt Gyưk Khưm Klơh Jrang Tơnh Bơm Thưi Hyưk Pơk Blưk",
            "Hơmunh Byên Nhưp Hlâm Thơi Pnang Bleo Brơih Hyam Kơm Lưi Hnheng",
        ),
    ),
    "Xơ Đăng": (
        ("A {0}", "Y {1}", "A {0} Đăk", "Y Thị {1}"),
        ("Dung Sút Thui Hlơn Jring Đêu Blong Brai Nheo Xem Krưng Chiêm Tơm", "Xoan Bông Dêu Ngọ Hlăk Vêk Mơi Zen Pơi Đơi"),
    ),
    "Cơ Ho": (
        ("K'{0}", "Ka {1}", "K' {0}", "Rơ Ông K'{0}", "Liêng Jrang Ha {0}", "Cil {0}", "Lơ Mu {0}"),
        ("Brể Brẽo Brèm Srộn Văn Tiếu Bẻo Glơi Chung Thế Nhiễu Bông Dùng Pleo", "Plin Hìn Nhơi Brèm Mẽ Să Lơn Ding Tuyên"),
    ),
    "Mạ": (("K'{0}", "Ka {1}", "Điểu K'{0}"), ("Ngài Mbrôi Điệp Tem Jôi Brồi Dịp", "Hiệu Lết Liêng Điều Ngân Brin")),
    "Raglai": (
        ("{0} {1}", "{0} Thị {1}", "Chamaléa {1}"),
        ("Chamaléa Pi-Năng Katơr Cao Pupur Tà-Yên Mấu Bo-Bo Tro-Sa", "Châu Thiêm Brung Thoái Điệp Hương Mai Xía Nghiêu Bích"),
    ),
    "Bru - Vân Kiều": (
        ("Hồ {0}", "Hồ Thị {1}", "Hồ Pả {0}", "Hồ A {0}"),
        ("Xuôi Khiêm Thoan Ta-Lơn Văng Lơ Kăn Pôn Muân Chiến", "Ỉa Pỉ Mơn Bươi Xiên Thơm Kham Lốc"),
    ),
    "Tà Ôi": (
        ("Hồ {0}", "A {0}", "Kăn {1}", "Pi {1}", "Lê A {0}"),
        ("Vai Rưm Nông Viết Lăng Diêng Rất Hơn", "Lịch Đớt Hoan Nhị Treng Xoan"),
    ),
    "Cơ Tu": (
        ("{0} {1}", "{0} Thị {1}"),
        (
            "Bríu Bhling Zơrâm Alăng Coor Pơloong Bhnước Arất Hốih Cơlâu A-Ting Riáh Bhơriu Ating Ploong Tơngôl",
            "Liếc Bhlóo Avố Nhân Hạnh Prơi Bạo Tơh Dung Bnướch Tơr Mia Ngưi",
        ),
    ),
    "Hrê": (("Đinh {0}", "Phạm Thị {0}", "Đinh Thị {0}", "Phạm Văn {0}"), ("Bri Xon Đréo Grêu Hé Nớ Vơn Ngỏi Trế Beo Rố Reng Hrung",)),
    "Co": (("Hồ {0}", "Hồ Thị {0}"), ("Mơn Trum Ngon Nhút Beo Răng Xung Dền",)),
    "Giẻ Triêng": (("A {0}", "Y {0}", "Kring {0}", "Bloong {0}", "Hiên {0}"), ("Ngơi Phương Nhới Brôi Đên Blai Brao Vương",)),
    "Mnông": (("Y {0} {1}", "H'{0} {1}", "Điểu {0}", "Thị {0}"), ("Krôt Djoi Plen Mai Lơn Bjarh Nhớ Kré N'Đom Srê", "Bkrông Rơyam Liêng Êung Jiê Pang-Ting Du Rlưk")),
    "Xtiêng": (("Điểu {0}", "Thị {0}", "Điểu Thị {0}"), ("Ong Hích Cân Lốt Đréc Rích K'Rế Brôn Ghé Mớt Nhuông",)),
    "Chơ Ro": (("Thổ {0}", "Điểu {0}", "Đào Thị {0}"), ("Út Bảo Glang Hùng Xuyến Nhé",)),
    "Chu Ru": (("Ya {0}", "Ma {0}", "Jơlơng {0}", "Touneh Ma {0}"), ("Loan Tuất Bơr Thương Hương Bio Đông Suơng",)),
    "Brâu và Rơ Măm": (("Thao {0}", "A {0}", "Y {0}", "Nàng {0}"), ("Pơm Nhĭ Ren Điết Blói Vê Dển",)),
    "Mông": (
        ("{0} A {1}", "{0} Thị {2}", "{0} Seo {1}", "{0} Mí {1}", "{0} Y {2}", "{0} Bá {1}"),
        (
            "Giàng Vàng Sùng Thào Má Hờ Lầu Cứ Hạng Ly Vừ Mùa Chang Tráng Hầu Hảng Thò Ly-Seo Và Xồng Cháng",
            "Páo Sử Chu Dế Phử Tủa Lềnh Sính Vảng Pùa Chứ Già Dính Nủ Cở Sò Dơ Khua",
            "Mỷ Dợ Mai Chở Sinh Dí Xua Dua Pà Giống Lỳ Mẩy Xía Blia",
        ),
    ),
    "Thái": (
        ("{0} Văn {1}", "{0} Thị {2}", "{0} {1}", "{0} Thị {2} Hoa"),
        (
            "Lò Quàng Cà Lường Tòng Điêu Cầm Bạc Lèo Vi Hà Lô Kha Lữ Ngân Mè Đèo Khoàng Tao Quàng Lự",
            "Pọm Ún Ỏ Thoạt Phớ Ểm Ín Khặm Panh Hặc Pảnh Phanh Ơn",
            "Ún Pâng Mấng Ính Phóng Ọm Pành Đôi Ương Ỉnh Hặc Xiến",
        ),
    ),
    "Tày và Nùng": (
        ("{0} Văn {1}", "{0} Thị {1}", "{0} {1}"),
        (
            "Nông Bế Hoàng Lý Ma Hứa Vi Lộc Mông Lục Chu Sầm Linh Đàm Nguyễn Lương Long Triệu Ngôn Nình Lèng Dì Phùng",
            "Páo Thuấn Ích Phẩy Loỏng Tẹo Nhình Sẻn Lềnh Chướng Cắm Phin Sẹc Ngọ Nhì Lưu Slao Mẩy Khìn",
        ),
    ),
    "Dao": (
        ("{0} {2} {1}", "{0} Thị {1}", "{0} Mùi {1}", "{0} Chòi {1}"),
        (
            "Bàn Triệu Phàn Chảo Đặng Lý Phùng Tẩn Chẻo Tặng Lò Phượng Dường Chìu Tằng",
            "Chẳn Phẩu Pham Mẩy Pết Sinh Chài Liềm Nhất Quẩy Ton Phù Say Kinh Phúng",
            "Láo Tà Ông Vần Phụ Tồn Chiêu Sành Dào Quyền Kiềm",
        ),
    ),
    "Hoa": (
        ("{0} {1} {2}", "{0} {2}"),
        (
            "Trần Lâm Lý Huỳnh Lưu Quách Mã Hứa Vương Diệp Ông Âu Khưu Tăng Sầm Thái Vòng Chướng Lầu Coóng Voòng Hoàng Giang Nhan",
            "Chí Mỹ Gia Siêu A Vĩ Tú Huệ Cẩm Bội Thục Quốc Sau",
            "Cường Linh Sáng Mùi Sầu Phát Nghi Cún Phùng Sìn Lìn Sìu Dũng Lềnh Khìu Quay",
        ),
    ),
    "Khmer": (
        ("{0} {1}", "{0} Thị {1}", "{0} Sô {1}", "{0} Sa {1}"),
        (
            "Thạch Kim Sơn Lâm Danh Châu Kiên Lý Tăng Chau Néang Neáng Liêu Đồ Trà Thị",
            "Sà-Rây Sô-Phia Phol Rim Soth Đara Sóc Khâm Kim-Sêng Rương Na-Rây Phi Chanh Sane Rine Oanh Riêng Chanthon",
        ),
    ),
    "Chăm": (
        ("{0} {1}", "Thị {1}", "{0} Thị {1}", "Mohamad {1}", "{1} Bin {2}"),
        (
            "Bá Thành Quảng Đàng Thiên Lưu Trượng Hán Châu Báo Ức Qua Não Dụng Kiều Vạn",
            "Sa-Lim Phấn Thị-Ne Karim Ysa Mách Sâm Rô-Hia Nhuận Chế-Linh Fatimah Amine Rosia Ismaiel Zukry",
            "Ysa Karim Salamon Yousos Abdolhalim",
        ),
    ),
    "Mường và Thổ": (("{0} Văn {1}", "{0} Thị {1}", "{0} Công {1}"), ("Bùi Quách Đinh Hà Xa Cao Trương Phùng Ngân Lục", "Ểu Bẻo Nỉ Rợm Iểng Ín Ón Dậm Ỏm Dỏng Ự")),
    "Sán Dìu và Sán Chay": (
        ("{0} Văn {1}", "{0} Thị {1}"),
        ("Trạc Tằng Từ Ninh Diệp Ôn Trương Lý La Hoàng Nịnh Voòng Ngô Lục Tiêu Trần", "Sồi Lìn Sinh Tắc Mằn Sìu Cỏng Chắn"),
    ),
    "Hà Nhì, Phù Lá, La Hủ, Lô Lô": (
        ("{0} {1} {2}", "{0} Thị {2}"),
        ("Sừng Ly Pờ Lỳ Chu Phà Khoàng Vàng Lồ Giàng Thào Hồ Phản Phùng Lìn Doãn Dì Sỉn Cáo", "Gió Hừ Xè Lòng Seo Sìn Mò Cà Có Chứ", "Xá Sừ Go Hừ Chừ Và De Pớ Nu Xó Lúy"),
    ),
    "Khơ Mú, Kháng, La Ha, Xinh Mun": (
        ("{0} Văn {1}", "{0} Thị {1}"),
        ("Quàng Moong Cụt Ốc Lò Vì Lường Rvai Seo Chương Hoa Tòng Xeo", "Ơi Phâng Inh Óc Ún Mò Pâng Phăn Toan Sinh"),
    ),
    "Chứt và Ơ Đu": (("Hồ {0}", "Cao {0}", "Lo {0}", "Hồ Thị {0}"), ("Pắc Khiên Xuân Nam Xon Văn Thoan Sin",)),
    "La Chí, Pà Thẻn, Cờ Lao, Pu Péo": (
        ("{0} {1} {2}", "{0} Thị {2}"),
        ("Vương Long Ly Tận Sìn Phù Húng Tải Ván Hủng Min Củng Tráng Giàng Mề", "Văn Seo Diu Dỉ Hồng Kiều Quyền Chá", "Páo Sài Tởn Chúng Phìn Dưỡng Gín Cuối"),
    ),
    "foreigners": (
        ("{0} {1}", "{0} {2}", "{0} {0} {1}", "{0}-{0} {1}"),
        (
            "Noé Chloé Zoé Renée François Jérôme Hélène Anaïs Loïc Benoît José María João Inês Joaquín Íñigo Ángel Óscar Søren Bjørn "
            "Åsa Jürgen Björk Þór Zoë Siân Seán Máire Łukasz Ștefan Đorđe Şeyma Özgür İlkay Anna Kim Lee Ivan Yuki Wei Ngozi "
            "Aïcha Mohammed Priya Noa Moé Raúl Noelía André Agnès Dmitri",
            "Müller Schröder Weiß Núñez Peña Ibáñez Gonçalves Magalhães Corrêa Saint-Saëns Dvořák Škoda Wałęsa Öztürk Nagy Körösi "
            "Brâncuși Šarić Guðmundsdóttir O'Neill McDonald MacArthur DeVito LeBlanc FitzGerald D'Angelo Smith-Jones Nguyen-Meyer "
            "Park Tanaka Wang Singh Smith Ødegård Kjær Cantù Nicolò Mosè Yıldız Dupré Bézier Lévy Noël Châtelet Forlì",
            "de la Cruz|van der Berg|von Strauß|da Silva|dos Santos|bin Abdullah|ibn Sīnā|al-Rashid|de Ávila|van Gogh|di Niccolò|"
            "du Châtelet|y Gasset|à Kempis|á Rógvi|O'Brien III|Williams Jr.|van 't Hoff|d'Étienne|Mac an Ríogh|St. John|Lý",
        ),
    ),
}  # fmt: skip

WHOLE = (
    "Nguyễn Văn An II|Nguyễn Thị A|Ý Nhi|Y Ỷ|Ê Ban|Ơ|Na|Mã|Tạ Ý|Võ Danh|An Danh|Khổng Tử Kỳ|Khổng Có|Chu Chưa|Nguyễn Văn Không|"
    "Lê Nan|Trần Nil|Jennifer Null|Lê Test|Phạm Văn Nan|Nguyễn T. An|Nguyễn-Phúc Ưng Bình|Tôn Nữ Thị Ninh|Công Tằng Tôn Nữ Hòa|"
    "Âu Dương Phi|Đặng Đỗ Ức|Ưng Ước|Úy Thùy|Khuất Quỳ|Quý Quỳnh|Giò Giọt|Quì|Giùm|Huỳnh Thủy Tiên|Hứa Lai Thoại|Thủy Lũy|"
    "K'Sor H'Jơ|Rơ Châm H'Yéo|Đinh Mươk|Bh'riu Liếc|Zơ Râm Năm|Y Khương Niê|Sơn Thị Sà Rênh|Pờ Gió Xá|Chamaléa Thị Xía"
)


def names() -> Iterator[tuple[str, str]]:
    """Yield (group, name), the same ones every time, none twice."""
    given: set[str] = set()
    for group, (patterns, lines) in GROUPS.items():
        parts = [line.split("|") if "|" in line else line.split() for line in lines]
        for number, pattern in itertools.product(range(FIXED_EACH), patterns):
            name = _made(pattern, parts, number)
            if name not in given:
                given.add(name)
                yield group, name
    yield from (("whole", name) for name in WHOLE.split("|") if name not in given)


def _made(pattern: str, parts: list[list[str]], number: int) -> str:
    """Fill a pattern with other words for each number; a place that stands twice gets two."""
    name, step = pattern, number
    for place, words in enumerate(parts):
        while f"{{{place}}}" in name:
            name = name.replace(f"{{{place}}}", words[step % len(words)], 1)
            step = step * 7 + place + 3
    return name
