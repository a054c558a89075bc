from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
import zeep
from lxml import etree
from starlette.applications import Starlette
from zeep.exceptions import Fault
from zeep.wsse.username import UsernameToken

from simulators import Agencies, insurance, make_world
from simulators.population import application as population_application
from simulators.store import cursor_of, position_of


def credential(agencies: Agencies, name: str) -> tuple[str, str]:
    user, _, secret = agencies.env[f"MOTLAN_CREDENTIAL_{name}"].partition(":")
    return user, secret


def soap(agencies: Agencies, secret: str | None = None) -> zeep.Client:
    user, right = credential(agencies, "POPULATION")
    return zeep.Client(agencies.env["MOTLAN_POPULATION_URL"] + "?wsdl", wsse=UsernameToken(user, secret or right))


def bearer(agencies: Agencies) -> httpx.Client:
    client = httpx.Client(base_url=agencies.env["MOTLAN_INSURANCE_URL"])
    answer = client.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=credential(agencies, "INSURANCE")
    )
    client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
    return client


def members(client: httpx.Client, **query) -> list[dict]:
    out, cursor = [], None
    while True:
        page = client.get("/v1/members", params=query | ({"cursor": cursor} if cursor else {})).json()
        out += page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return out


def drop(agencies: Agencies) -> httpx.Client:
    return httpx.Client(base_url=agencies.env["MOTLAN_TAX_URL"], auth=credential(agencies, "TAX"))


def education(agencies: Agencies) -> psycopg.Connection:
    user, secret = credential(agencies, "EDUCATION")
    return psycopg.connect(agencies.env["MOTLAN_EDUCATION_URL"], user=user, password=secret)


def ask(application: Starlette, requests: list[tuple[str, str, dict]]) -> list[httpx.Response]:
    """Ask an application that runs in this process, one request after the other."""

    async def run() -> list[httpx.Response]:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://agency") as client:
            return [await client.request(method, path, **rest) for method, path, rest in requests]

    return asyncio.run(run())


@pytest.fixture(scope="module")
def small_world() -> Iterator[Path]:
    """A folder for a world of its own, that PostgreSQL's user can walk to."""
    folder = Path(tempfile.mkdtemp(prefix="motlan-simulators-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_urls_carry_no_credentials(agencies):
    urls = [value for name, value in agencies.env.items() if name.endswith("_URL")]
    assert len(urls) == 4
    assert not any("@" in url for url in urls)


def test_zeep_reads_the_whole_population_register_page_by_page(agencies, world, sql):
    client = soap(agencies)
    keys, cursor = [], None
    while True:
        page = client.service.LayThayDoi(ConTro=cursor, SoDong=1000)
        keys += [row["MaHoSo"] for row in page["CongdanCollection"]["CongDan"]]
        cursor = page["ConTroTiep"]
        if cursor is None:
            break
    served = sql.execute("SELECT _key FROM population_citizens WHERE _day = 0 ORDER BY _moment, _key").fetchall()
    assert keys == [key for (key,) in served]


def test_zeep_counts_the_population_register(agencies, world):
    count = soap(agencies).service.DemSo()
    assert count["TongSo"] == count["SoCongDan"] == world[1]["rows"]["population_citizens"]["0"]


def test_zeep_looks_up_a_citizen_by_personal_id_and_by_name_and_birth_date(agencies, sql):
    key, number, name, birth = sql.execute(
        """SELECT _key, SoDinhDanh, concat_ws(' ', HoVaTen_Ho, HoVaTen_ChuDem, HoVaTen_Ten),
             strftime(strptime(NgayThangNamSinh_NgayThangNam, '%Y%m%d'), '%Y-%m-%d') FROM population_citizens
           WHERE _day = 0 AND _until > 2 AND length(SoDinhDanh) = 12 AND length(NgayThangNamSinh_NgayThangNam) = 8
             AND NgayThangNamSinh_NgayThangNam NOT LIKE '%00' LIMIT 1"""
    ).fetchone()
    service = soap(agencies).service
    for question in ({"SoDinhDanh": number}, {"HoVaTen": name, "NgayThangNamSinh": birth}):
        # zeep hands out the only child of an answer instead of the answer.
        found = service.TraCuu(MaYeuCau="1", **question)
        assert key in [row["MaHoSo"] for row in found["CongDan"]]
        assert found["CongDan"][0]["HoVaTen"]["Ten"]


def test_a_wrong_soap_password_is_a_fault(agencies):
    with pytest.raises(Fault) as caught:
        soap(agencies, "wrong").service.DemSo()
    assert caught.value.code == "wsse:FailedAuthentication"


@pytest.mark.parametrize(
    ("operation", "arguments"),
    [
        ("LayThayDoi", {"SoDong": 10001}),
        ("LayThayDoi", {"ConTro": "nonsense"}),
        ("DemSo", {"TuThoiDiem": "yesterday"}),
        ("TraCuu", {"HoVaTen": "An"}),
    ],
)
def test_wrong_soap_arguments_are_a_client_fault(agencies, operation, arguments):
    with pytest.raises(Fault) as caught:
        soap(agencies).service[operation](**arguments)
    assert caught.value.code.endswith("Client")


def test_the_flat_form_has_the_whole_name_in_one_element_and_province_codes(world):
    user, _, secret = json.loads((world[0] / "credentials.json").read_text())["population"].partition(":")
    security = (
        '<w:Security xmlns:w="http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd">'
        f"<w:UsernameToken><w:Username>{user}</w:Username><w:Password>{secret}</w:Password></w:UsernameToken></w:Security>"
    )
    request = (
        '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/">'
        f'<s:Header>{security}</s:Header><s:Body><LayThayDoi xmlns="http://www.mic.gov.vn/dancu/1.0"/></s:Body></s:Envelope>'
    )
    (answer,) = ask(population_application(world[0], "flat"), [("POST", "/population", {"content": request})])
    citizen = etree.fromstring(answer.content).find(".//{*}CongDan")
    assert " " in citizen.findtext("{*}HoVaTen/{*}Ten")
    assert citizen.findtext("{*}DanToc").isdigit()
    assert len(citizen.findtext("{*}NgayThangNamSinh/{*}Nam")) == 4
    assert len(citizen.findtext("{*}ThuongTru/{*}MaTinhThanh")) == 2


def test_rest_pages_give_every_member_once_in_order(agencies, world):
    rows = members(bearer(agencies), limit=500)
    assert len(rows) == world[1]["rows"]["insurance_members"]["0"]
    order = [(row["updatedAt"], row["id"]) for row in rows]
    assert order == sorted(set(order))


def test_rest_rows_from_a_moment_include_that_moment_and_agree_with_the_count(agencies):
    client = bearer(agencies)
    rows = members(client, limit=5000)
    since = rows[len(rows) // 2]["updatedAt"]
    later = members(client, limit=5000, updated_since=since)
    assert later[0]["updatedAt"] == since
    count = client.get("/v1/members/count", params={"updated_since": since}).json()
    assert (count["rows"], count["total"]) == (len(later), len(rows))


def test_a_wrong_token_and_a_wrong_secret_are_401_problems(agencies):
    url = agencies.env["MOTLAN_INSURANCE_URL"]
    answers = [
        httpx.get(f"{url}/v1/members", headers={"Authorization": "Bearer wrong"}),
        httpx.get(f"{url}/v1/members"),
        httpx.post(f"{url}/oauth/token", data={"grant_type": "client_credentials"}, auth=("motlan", "wrong")),
    ]
    assert [answer.status_code for answer in answers] == [401] * 3
    assert all(answer.headers["content-type"] == "application/problem+json" for answer in answers)


@pytest.mark.parametrize("query", [{"limit": 5001}, {"limit": "x"}, {"cursor": "x"}, {"updated_since": "today"}])
def test_wrong_rest_arguments_are_400_problems(agencies, query):
    answer = bearer(agencies).get("/v1/members", params=query)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)


def test_more_requests_than_the_capacity_are_429_with_the_time_to_wait(world):
    answers = ask(insurance.application(world[0], capacity=3), [("GET", "/v1/members/count", {})] * 6)
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in refused)


def test_a_token_expires(world):
    user, _, secret = json.loads((world[0] / "credentials.json").read_text())["insurance"].partition(":")
    application = insurance.application(world[0], capacity=100, token_seconds=0)
    form = {"grant_type": "client_credentials", "client_id": user, "client_secret": secret}
    (answer,) = ask(application, [("POST", "/oauth/token", {"data": form})])
    token = answer.json()["access_token"]
    (answer,) = ask(application, [("GET", "/v1/members", {"headers": {"Authorization": f"Bearer {token}"}})])
    assert answer.status_code == 401


def test_tax_files_have_the_hash_size_and_rows_of_their_manifest(agencies, world):
    with drop(agencies) as client:
        (full,) = client.get("/drops/index.json").json()["drops"]
        manifest = client.get(f"/drops/{full['manifest']}").json()
        assert manifest["rows"] == world[1]["rows"]["tax_taxpayers"]["0"] == sum(f["rows"] for f in manifest["files"])
        for file in manifest["files"]:
            content = client.get(f"/drops/{manifest['name']}/{file['name']}").content
            assert (hashlib.sha256(content).hexdigest(), len(content)) == (file["sha256"], file["bytes"])
            root = etree.fromstring(gzip.decompress(content))
            assert root.tag == "{urn:motlan:tax:1.0}NguoiNopThueCollection"
            assert len(root) == file["rows"]


def test_the_tax_drop_refuses_a_wrong_password_and_knows_no_other_file(agencies):
    with drop(agencies) as client:
        assert client.get("/drops/index.json", auth=("motlan", "wrong")).status_code == 401
        for path in ("2026-10-02-delta/manifest.json", "2026-10-01-full/other.xml", "2026-10-01-full/..%2Fworld.json"):
            assert client.get(f"/drops/{path}").status_code == 404


def test_the_education_reader_reads_both_views(agencies, world):
    with education(agencies) as con:
        for view, dataset in (("v_hoc_sinh", "education_pupils"), ("v_giao_vien", "education_staff")):
            assert con.execute(f"SELECT count(*) FROM {view}").fetchone() == (world[1]["rows"][dataset]["0"],)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM v_hoc_sinh",
        "SET default_transaction_read_only = off; UPDATE v_giao_vien SET chuc_vu = ''",
        "SET default_transaction_read_only = off; CREATE TABLE mine (a int)",
        "SET default_transaction_read_only = off; CREATE TEMP TABLE mine (a int)",
        "SELECT * FROM held.education_pupils",
    ],
)
def test_the_education_reader_can_do_nothing_but_read_the_views(agencies, statement):
    with education(agencies) as con, pytest.raises(psycopg.errors.DatabaseError):
        for part in statement.split("; "):
            con.execute(part)
            con.commit()


def test_the_education_reader_needs_its_password(agencies):
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(agencies.env["MOTLAN_EDUCATION_URL"], user="education_reader", password="wrong")


def test_a_new_day_changes_only_the_rows_of_that_day(agencies, world):
    rows = world[1]["rows"]
    client = bearer(agencies)
    before = {row["id"]: row for row in members(client, limit=5000)}
    pupils = "SELECT ma_ho_so, updated_at::text, lop, ma_truong, ho_ten FROM v_hoc_sinh"
    with education(agencies) as con:
        pupils_before = set(con.execute(pupils).fetchall())
    try:
        agencies.set_day(1)
        after = {row["id"]: row for row in members(client, limit=5000)}
        changed = {key for key, row in after.items() if row != before.get(key)}
        assert before.keys() <= after.keys()
        assert len(changed) == rows["insurance_members"]["1"] > 0
        ahead = {key for key in changed if after[key]["updatedAt"] > "2062"}
        assert {after[key]["updatedAt"][:10] for key in changed - ahead} == {"2026-10-02"}
        service = soap(agencies).service
        assert service.DemSo(TuThoiDiem="2026-10-02T00:00:00Z")["SoCongDan"] == rows["population_citizens"]["1"]
        with drop(agencies) as files:
            full, delta = files.get("/drops/index.json").json()["drops"]
            assert (full["kind"], delta["kind"]) == ("full", "delta")
            assert files.get(f"/drops/{delta['manifest']}").json()["rows"] == rows["tax_taxpayers"]["1"]
        with education(agencies) as con:
            new = set(con.execute(pupils).fetchall()) - pupils_before
        assert len(new) == rows["education_pupils"]["1"] > 0
    finally:
        agencies.set_day(0)
    with education(agencies) as con:
        assert set(con.execute(pupils).fetchall()) == pupils_before


def test_a_day_the_world_has_not_is_refused(agencies):
    with pytest.raises(ValueError):
        agencies.set_day(99)


def test_a_cursor_reads_back_and_a_forged_one_is_refused():
    assert position_of(cursor_of(123456)) == 123456
    for forged in ("", "MTIz", "é", "p12"):
        with pytest.raises(ValueError):
            position_of(forged)


@pytest.mark.slow
def test_the_command_line_makes_serves_and_advances_a_world(small_world):
    command = [sys.executable, "-m", "simulators"]
    folder = small_world
    made = subprocess.run(
        [*command, "world", "--people", "300", "--days", "1", "--out", str(folder), "--json"],
        capture_output=True,
        check=True,
    )
    assert json.loads(made.stdout)["people"] == 300
    served = subprocess.Popen([*command, "serve", "--world", str(folder)], stderr=subprocess.DEVNULL)
    try:
        file = folder / "agencies.json"
        while not (file.exists() and file.read_text()):
            assert served.poll() is None, "it ended"
            time.sleep(0.1)
        env = json.loads(file.read_text())["env"]
        subprocess.run([*command, "day", "--world", str(folder), "--day", "1"], check=True, capture_output=True)
        auth = tuple(env["MOTLAN_CREDENTIAL_TAX"].split(":"))
        assert len(httpx.get(env["MOTLAN_TAX_URL"] + "/drops/index.json", auth=auth).json()["drops"]) == 2
    finally:
        served.send_signal(signal.SIGTERM)
        assert served.wait() == 0
    assert not (folder / "agencies.json").exists()
    with pytest.raises(httpx.ConnectError):
        httpx.get(env["MOTLAN_TAX_URL"] + "/drops/index.json")


@pytest.mark.slow
def test_the_agencies_end_when_the_process_that_started_them_is_killed(small_world):
    code = (
        "import sys, time; from simulators import Agencies\n"
        "with Agencies(sys.argv[1]) as a:\n"
        "    print(a.env['MOTLAN_TAX_URL'], flush=True); time.sleep(6000)"
    )
    folder = small_world
    make_world(folder, people=300, seed=1)
    with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) as starter:
        url = starter.stdout.readline().strip()
        os.kill(starter.pid, signal.SIGKILL)
    while True:
        try:
            httpx.get(url)
        except httpx.ConnectError:
            break
        except httpx.TransportError:  # caught while it was ending
            pass
        time.sleep(0.1)
    while (folder / "education" / "postmaster.pid").exists():
        time.sleep(0.1)
