"""The population register's contract: WSDL 1.1, document/literal wrapped, for either form of the citizen message."""

from __future__ import annotations

NAMESPACE = "http://www.mic.gov.vn/dancu/1.0"

Tree = dict[str, "str | Tree"]
"""Element name to its children, or to the SQL of its text (a column, mostly)."""


def _place(name: str, detail: str = "NULL") -> Tree:
    return {"MaDonViHanhChinh": f"{name}_MaDonViHanhChinh", "ChiTiet": detail, "QuocGia": "'VN'"}


def _flat_place(name: str, detail: str = "NULL") -> Tree:
    return {
        "MaTinhThanh": f"{name}_MaTinhThanh",
        "MaQuanHuyen": "NULL",
        "MaPhuongXa": f"{name}_MaDonViHanhChinh",
        "ChiTiet": detail,
    }


_HEAD: Tree = {"MaHoSo": "_key", "ThoiDiemCapNhat": "_moment", "SoDinhDanh": "SoDinhDanh", "SoCMND": "SoCMND"}
_PARENTS: Tree = {
    "Cha": {"SoDinhDanh": "Cha_SoDinhDanh", "HoVaTen": "Cha_HoVaTen"},
    "Me": {"SoDinhDanh": "Me_SoDinhDanh", "HoVaTen": "Me_HoVaTen"},
    "ChuHo": {"SoDinhDanh": "ChuHo_SoDinhDanh"},
    "NgayMat": "NgayMat",
}

FORMS: dict[str, Tree] = {
    "qcvn109": _HEAD
    | {
        "HoVaTen": {"Ho": "HoVaTen_Ho", "ChuDem": "HoVaTen_ChuDem", "Ten": "HoVaTen_Ten"},
        "GioiTinh": "GioiTinh",
        "DanToc": {"MaDanToc": "DanToc_MaDanToc", "TenGoi": "DanToc_TenGoi"},
        "TinhTrangHonNhan": "TinhTrangHonNhan",
        "NgayThangNamSinh": {"NgayThangNam": "NgayThangNamSinh_NgayThangNam"},
        "NoiDangKyKhaiSinh": _place("NoiDangKyKhaiSinh"),
        "QueQuan": _place("QueQuan"),
        "ThuongTru": _place("ThuongTru", "ThuongTru_ChiTiet"),
    }
    | _PARENTS,
    "flat": _HEAD
    | {
        "HoVaTen": {"Ten": "concat_ws(' ', HoVaTen_Ho, HoVaTen_ChuDem, HoVaTen_Ten)"},
        "GioiTinh": "GioiTinh",
        "DanToc": "DanToc_MaDanToc",
        "TinhTrangHonNhan": "TinhTrangHonNhan",
        "NgayThangNamSinh": {
            "Nam": "left(NgayThangNamSinh_NgayThangNam, 4)",
            "NgayThangNam": "NgayThangNamSinh_NgayThangNam",
        },
        "NoiDangKyKhaiSinh": _flat_place("NoiDangKyKhaiSinh"),
        "QueQuan": _flat_place("QueQuan"),
        "ThuongTru": _flat_place("ThuongTru", "ThuongTru_ChiTiet"),
    }
    | _PARENTS,
}
"""Form of `CongDan` to its elements, in order."""

_REQUESTS = {
    "LayThayDoi": ("TuThoiDiem", "ConTro", "SoDong"),
    "TraCuu": (
        "MaYeuCau", "MaDVC", "MaTichHop", "MaDonVi", "MaCanBo", "SoDinhDanh", "SoCMND", "HoVaTen", "NgayThangNamSinh",
    ),
    "DemSo": ("TuThoiDiem",),
}  # fmt: skip
_COLLECTION = '<xs:element name="CongdanCollection" type="tns:CongdanCollection"/>'
_RESPONSES = {
    "LayThayDoi": _COLLECTION + '<xs:element name="ConTroTiep" type="xs:string" minOccurs="0"/>',
    "TraCuu": _COLLECTION,
    "DemSo": '<xs:element name="SoCongDan" type="xs:int"/><xs:element name="TongSo" type="xs:int"/>'
    '<xs:element name="ThoiDiemDuLieu" type="xs:string"/>',
}


def _elements(tree: Tree) -> str:
    out = []
    for name, child in tree.items():
        if isinstance(child, str):
            out.append(f'<xs:element name="{name}" type="xs:string" minOccurs="0"/>')
        else:
            inside = f"<xs:complexType><xs:sequence>{_elements(child)}</xs:sequence></xs:complexType>"
            out.append(f'<xs:element name="{name}" minOccurs="0">{inside}</xs:element>')
    return "".join(out)


def _wrapper(name: str, inside: str) -> str:
    return (
        f'<xs:element name="{name}"><xs:complexType><xs:sequence>{inside}</xs:sequence></xs:complexType></xs:element>'
    )


def wsdl(form: str, address: str) -> str:
    """Write the WSDL.

    Args:
        form: `qcvn109` or `flat`.
        address: URL of the service.
    """
    requests = "".join(
        _wrapper(name, "".join(f'<xs:element name="{part}" type="xs:string" minOccurs="0"/>' for part in parts))
        for name, parts in _REQUESTS.items()
    )
    responses = "".join(_wrapper(f"{name}Response", inside) for name, inside in _RESPONSES.items())
    messages = "".join(
        f'<wsdl:message name="{name}Request"><wsdl:part name="parameters" element="tns:{name}"/></wsdl:message>'
        f'<wsdl:message name="{name}Answer"><wsdl:part name="parameters" element="tns:{name}Response"/></wsdl:message>'
        for name in _REQUESTS
    )
    port = "".join(
        f'<wsdl:operation name="{name}"><wsdl:input message="tns:{name}Request"/>'
        f'<wsdl:output message="tns:{name}Answer"/></wsdl:operation>'
        for name in _REQUESTS
    )
    binding = "".join(
        f'<wsdl:operation name="{name}"><soap:operation soapAction="{NAMESPACE}/{name}"/>'
        '<wsdl:input><soap:body use="literal"/></wsdl:input>'
        '<wsdl:output><soap:body use="literal"/></wsdl:output></wsdl:operation>'
        for name in _REQUESTS
    )
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<wsdl:definitions name="DanCu" targetNamespace="{NAMESPACE}" xmlns:tns="{NAMESPACE}"
    xmlns:wsdl="http://schemas.xmlsoap.org/wsdl/" xmlns:soap="http://schemas.xmlsoap.org/wsdl/soap/"
    xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <wsdl:types>
    <xs:schema targetNamespace="{NAMESPACE}" elementFormDefault="qualified">
      <xs:complexType name="CongDan"><xs:sequence>{_elements(FORMS[form])}</xs:sequence></xs:complexType>
      <xs:complexType name="CongdanCollection"><xs:sequence>
        <xs:element name="GhiChu" type="xs:string" minOccurs="0"/>
        <xs:element name="ThoiDiemDuLieu" type="xs:string"/>
        <xs:element name="SoCongDan" type="xs:int"/>
        <xs:element name="CongDan" type="tns:CongDan" minOccurs="0" maxOccurs="unbounded"/>
      </xs:sequence></xs:complexType>
      {requests}{responses}
    </xs:schema>
  </wsdl:types>
  {messages}
  <wsdl:portType name="DanCu">{port}</wsdl:portType>
  <wsdl:binding name="DanCuSoap" type="tns:DanCu">
    <soap:binding style="document" transport="http://schemas.xmlsoap.org/soap/http"/>{binding}
  </wsdl:binding>
  <wsdl:service name="DanCu">
    <wsdl:port name="DanCuSoap" binding="tns:DanCuSoap"><soap:address location="{address}"/></wsdl:port>
  </wsdl:service>
</wsdl:definitions>
"""
