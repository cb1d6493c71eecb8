"""Laws and examples of `fetchpool.output.names`."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchpool.model.urls import InvalidURLError, hiding, parse_url
from fetchpool.model.values import Target
from fetchpool.output.names import MAX_COMPONENT, MAX_PATH, alternate_path, body_path

CANARY = "canary"
HASH = re.compile(r"~[0-9a-f]{16}")

NAUGHTY = [
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "..%5c..%5c",
    "C:",
    "C:%5Cwindows",
    "-rf",
    "--help.txt",
    "~",
    "~root",
    "~3c",
    "3c+",
    "v1.0+",
    "a~90327f8595e2f74b",
    "page~12d2270dc0e21e7d.html",
    ".fetchpool",
    ".htaccess",
    "...",
    "....txt",
    "con",
    "CON",
    "aux.txt",
    "nul.tar.gz",
    "com1",
    "LPT9.log",
    "com%C2%B9.log",
    "conin$",
    "name.",
    "name.txt.",
    "name%20",
    "%20name.txt",
    "%20",
    "%00",
    "a%00b.txt",
    "%0d%0aX",
    "%1b%5b31m",
    "%7f",
    "%E2%80%AEtxt.exe",
    "%E2%80%8B",
    "%EF%BB%BFa.txt",
    "%C0%AF",
    "%FF%FE.txt",
    "%ED%A0%80",
    "%CC%81a.txt",
    "a%CC%81.txt",
    "%C3%A1.txt",
    "%C3%81.txt",
    "%E2%84%AA.txt",
    "%EF%BC%8Fetc",
    "%EF%BC%8E%EF%BC%8E",
    "%F0%9F%92%A9.txt",
    "a:b",
    "a*b",
    "a|b",
    "a'b",
    "a;b",
    "$(id)",
    "%60id%60",
    "a&b",
    "index.html",
    "INDEX.HTML",
    "a.b.c.d",
    "v1.0",
    "1.2",
    "a.toolongextension",
    "a.7z",
    "a.PHP",
    "a.h%74ml",
]


def name(url: str, content_type: str | None = None, filename: str | None = None) -> str:
    return body_path(parse_url(url), content_type, filename)


def same_to_a_file_system(path: str) -> str:
    """What *path* is to a file system that heeds neither case nor Unicode form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", path).casefold())


def urls() -> st.SearchStrategy[str]:
    """URLs that are likely to come close to each other."""
    component = (
        st.sampled_from(
            [
                "",
                "a",
                "A",
                "b",
                "a.html",
                "A.html",
                "a.b",
                "a.b+",
                "a+",
                "index.html",
                "é",
                "e\u0301",
            ]
        )
        | st.sampled_from(["a.php", "a.aspx", "A.PHP", "a.html.gz", "a.HTML.gz", "a.html.php"])
        | st.sampled_from(NAUGHTY)
    )
    anything = st.text(max_size=20).map(lambda text: quote(text, safe=""))
    long = st.sampled_from(["x" * 94, "x" * 95, "x" * 300, "%E4%B8%AD" * 50, "9" * 130])
    parts = st.lists(component | anything | long, max_size=5)
    deep = st.integers(18, 60).map(lambda depth: ["d"] * depth)
    origin = st.sampled_from(
        ["https://h", "http://h", "https://h:80", "http://h:443", "https://[::1]", "http://con.de"]
    )
    query = st.sampled_from(["", "", "", "?", "?a", "?a=/b.html", "?A", "?con", "?a=b.html", "?é"])
    return st.builds(
        lambda origin, parts, query: f"{origin}/{'/'.join(parts)}{query}",
        origin,
        parts | deep,
        query,
    )


content_types = st.sampled_from([None, "text/html", "application/pdf", "Text/HTML; charset=x"])


def assert_safe(path: str) -> None:
    assert len(path.encode()) <= MAX_PATH
    components = path.split("/")
    assert len(components) >= 2
    for component in components:
        assert 0 < len(component.encode()) <= MAX_COMPONENT
        assert component[0] not in "-~.+ "
        assert component[-1] not in ". "
        assert not set(component) & set("\\:*?\"<>|$`'&; ")
        assert unicodedata.normalize("NFC", component) == component
        assert component.isprintable()
        assert re.fullmatch(r"[A-Za-z0-9._~+\x80-\U0010ffff-]+", component)
        stem = component.partition(".")[0].casefold()
        assert not re.fullmatch(r"con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]", stem)
    assert not components[0].startswith("results.jsonl") or HASH.search(components[0])
    for directory in components[1:-1]:
        assert "." not in directory or directory.endswith("+")
    assert re.fullmatch(r".+\.[a-z0-9]{1,8}", components[-1])


# --- examples -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://example.org/page.html", "example.org/page.html"),
        ("https://example.org/a/b-c/d_e/page.html", "example.org/a/b-c/d_e/page.html"),
        ("http://example.org/page.html", "example.org+80/page.html"),
        ("http://example.org:8080/page.html", "example.org+8080/page.html"),
        ("https://example.org:8443/page.html", "example.org+8443s/page.html"),
        ("https://example.org:80/page.html", "example.org+80s/page.html"),
        ("http://127.0.0.1:8080/data.json.gz", "127.0.0.1+8080/data.json.gz"),
        ("https://example.org/v1.2/page.html", "example.org/v1.2+/page.html"),
        (
            "https://example.org/v1.2/page.html?id=7",
            "example.org/v1.2+/12+/page~12d2270dc0e21e7d.html",
        ),
        ("http://example.org/img/000123.jpg", "example.org+80/img/7c+/000123.jpg"),
        ("https://example.org/", "example.org/index~6ec7e91c7656bfb8.html"),
        ("http://example.org/a", "example.org+80/90+/a~90327f8595e2f74b.html"),
        ("https://h/2024/05/20240501/x.html", "h/2024/05/23+/20240501/x.html"),
        ("https://h/My%20Docs/x.html", "h/My_Docs~b69742dc7fed58c5/x.html"),
        ("https://h/wiki/%E4%B8%AD%E5%9B%BD/a.gif", "h/wiki/中国~b994bdc7e0a5d7c1/a.gif"),
        ("https://con.com/x.html", "_con.com~a4f1946a334336a4/x.html"),
        ("https://results.jsonl/x.html", "results.jsonl~ea6927b7f1b72d4e/x.html"),
    ],
)
def test_names_of_a_url_are_what_they_were_in_every_release(url: str, path: str) -> None:
    assert name(url, "text/html") == path


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("https://h/Photo.JPG", "Photo~#.jpg"),
        ("https://h/item.php?id=3", "item~#.html"),
        ("https://h/LICENSE", "LICENSE~#.html"),
        ("https://h/v1.0", "v1.0~#.html"),
        ("https://h/aux.tar.gz", "_aux~#.tar.gz"),
        ("https://h/.htaccess", "htaccess~#.html"),
        ("https://h/-rf.txt", "rf~#.txt"),
        ("https://h/a%2Fb.txt", "a_b~#.txt"),
        ("https://h/%E0%A4%B9%E0%A4%BF%E0%A4%A8.txt", "हिन~#.txt"),
        ("https://h/e%CC%81.txt", "é~#.txt"),
        ("https://h/?q", "q~#.html"),
        ("https://h/?", "index~#.html"),
        ("https://h/?id=cat-photo&size=2", "id_cat-photo_size_2~#.html"),
        ("https://h/a/?file=Cat.HTML", "file_Cat~#.html"),
        ("https://h/?q=%E4%B8%AD+%2F..", "q_中_..~#.html"),
        (
            "https://h/?title=a-title-of-many-words-in-2024",
            "title_a-title-of-many-words-in-2024~#.html",
        ),
        ("https://h/?sig=0123456789abcdef0123456789abcdef&v=1", "sig_v_1~#.html"),
        ("https://h/?0123456789abcdef0123456789abcdef", "index~#.html"),
        ("https://h/?%20=%2F", "index~#.html"),
        ("https://h/?" + "&".join("abcdefgh"), "a_b_c_d_e_f_g_h~#.html"),
        (
            "https://h/?" + "&".join(f"a{n}=b" for n in range(99)),
            "a0_b_a1_b_a2_b_a3_b_a4_b_a5_b_a6_b_a7_b_a8_b_a9_~#.html",
        ),
        ("https://h/x?id=cat", "x~#.html"),
        ("https://h/photo.jpg;v=1", "photo~#.jpg"),
        ("https://h/list;v=1", "list~#.html"),
        ("https://h/;v=1", "index~#.html"),
        ("https://h/a;b.html", "a_b~#.html"),
    ],
)
def test_a_hashed_name_stays_readable(url: str, readable: str) -> None:
    leaf = name(url, "text/html").rpartition("/")[2]
    assert HASH.sub("~#", leaf) == readable


@pytest.mark.parametrize(
    ("content_type", "extension"),
    [
        (None, "bin"),
        ("", "bin"),
        ("text/html", "html"),
        (" TEXT/HTML ; charset=utf-8", "html"),
        ("text/x-unknown", "txt"),
        ("application/ld+json", "json"),
        ("application/x+xml; q=1", "xml"),
        ("image/svg+xml", "svg"),
        ("json", "bin"),
        ("../../etc/passwd", "bin"),
        ("text/../../x\x00", "txt"),
        ("image/jpg", "jpg"),
        ("image/pjpeg", "jpg"),
        ("image/bmp", "bmp"),
        ("image/x-ms-bmp", "bmp"),
        ("image/vnd.microsoft.icon", "ico"),
        ("image/heic", "heic"),
        ("video/quicktime", "mov"),
        ("audio/flac", "flac"),
        ("audio/x-flac", "flac"),
        ("font/ttf", "ttf"),
        ("application/x-font-ttf", "ttf"),
        ("font/otf", "otf"),
        ("application/rtf", "rtf"),
        ("text/rtf", "rtf"),
        ("application/x-7z-compressed", "7z"),
        ("application/x-zip-compressed", "zip"),
        ("application/vnd.rar", "rar"),
        ("application/x-xz", "xz"),
        ("application/vnd.oasis.opendocument.text", "odt"),
        ("video/x-matroska", "mkv"),
        ("message/rfc822", "eml"),
        ("application/geo+json", "geojson"),
        ("application/octet-stream", "bin"),
    ],
)
def test_a_name_without_extension_gets_the_one_of_its_type(
    content_type: str | None, extension: str
) -> None:
    assert name("https://h/a", content_type).endswith(f".{extension}")


@pytest.mark.parametrize(
    ("url", "content_type"),
    [
        ("https://h/a.png", "image/jpeg"),
        ("https://h/a.csv", "text/plain"),
        ("https://h/a.fasta", "text/html"),
        ("https://h/a.gpx", "application/xml"),
        ("https://h/a.whl", "application/zip"),
        ("https://h/style.css.map", "application/json"),
        ("https://h/a.mzml", "application/xml"),
        ("https://h/a.tar.gz", "application/octet-stream"),
        ("https://h/a.foo", "text/plain"),
        ("https://h/a.foo", None),
        ("https://h/a.php", "application/octet-stream"),
        ("https://h/a.php", None),
    ],
)
def test_an_extension_that_names_a_medium_counts_whatever_the_server_says(
    url: str, content_type: str | None
) -> None:
    assert name(url, content_type) == url.removeprefix("https://")


@pytest.mark.parametrize(
    ("url", "content_type", "readable"),
    [
        ("https://h/thumb.aspx?id=3", "image/jpeg", "thumb~#.jpg"),
        ("https://h/thumb.ashx", "IMAGE/JPEG; x=y", "thumb~#.jpg"),
        ("https://h/Thumb.PHP", "image/png", "Thumb~#.png"),
        ("https://h/list.cgi", "text/plain", "list~#.txt"),
        ("https://h/x.jsp", "application/pdf", "x~#.pdf"),
        ("https://h/x.do", "application/problem+json", "x~#.json"),
        ("https://h/photo.jpg.php", "image/jpeg", "photo~#.jpg"),
        ("https://h/view.jsp;jsessionid=A1", "image/jpeg", "view~#.jpg"),
        ("https://h/view.jsp", "image/jpeg, image/jpeg", "view~#.jpg"),
        ("https://h/a.php", "text/html", "a~#.html"),
        ("https://h/index.final", "text/html", "index.final~#.html"),
        ("https://h/example.com", "text/html", "example.com~#.html"),
    ],
)
def test_a_known_type_takes_the_place_of_an_extension_that_names_no_medium(
    url: str, content_type: str, readable: str
) -> None:
    path = name(url, content_type)
    assert_safe(path)
    assert HASH.sub("~#", path.rpartition("/")[2]) == readable
    assert HASH.search(path), "`/a.php` and `/a.html` are two URLs"


@pytest.mark.parametrize(
    ("leaf", "readable"),
    [
        ("E_1.fastq.gz?x", "E_1~#.fastq.gz"),
        ("E_1.FASTQ.BZ2", "E_1~#.fastq.bz2"),
        ("E_1.vcf.gz.tbi?x", "E_1~#.vcf.gz.tbi"),
        ("x.tar.xz?x", "x~#.tar.xz"),
        ("x.tar.7z?x", "x~#.tar.7z"),
        ("x.tar.gz.asc?x", "x~#.tar.gz.asc"),
        ("x.json.zst?x", "x~#.json.zst"),
        ("x.ps.Z", "x~#.ps.z"),
        ("x.csv.zip?x", "x~#.csv.zip"),
        ("x.js.br?x", "x~#.js.br"),
        ("x.nii.lz4?x", "x~#.nii.lz4"),
        ("v1.2.gz?x", "v1.2~#.gz"),
        ("a.b.html?x", "a.b~#.html"),
        (
            "x" * 200 + ".abcdefgh.sha512.sha512.sha512",
            "x" * 73 + "~#.abcdefgh.sha512.sha512.sha512",
        ),
    ],
)
def test_a_double_extension_stays_whole(leaf: str, readable: str) -> None:
    for content_type in ("application/gzip", "application/octet-stream", "text/html"):
        path = name(f"https://h/{leaf}", content_type)
        assert_safe(path)
        assert HASH.sub("~#", path.rpartition("/")[2]) == readable


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://h//a.html", "h/#/a~#.html"),
        ("https://h/a//b//c.html", "h/a/b/#/c~#.html"),
        ("https://h//", "h/index~#.html"),
        ("https://h/a///", "h/a/index~#.html"),
    ],
)
def test_an_empty_component_makes_no_directory(url: str, path: str) -> None:
    assert re.sub(r"[0-9a-f]{2}\+", "#", HASH.sub("~#", name(url, "text/html"))) == path
    assert name(url, "text/html") != name(re.sub("(?<!:)//+", "/", url), "text/html")


@pytest.mark.parametrize(
    ("content_type", "leaf"),
    [
        ("text/html", "file_cat.jpg~#.html"),
        ("image/jpeg", "file_cat~#.jpg"),
        (None, "file_cat~#.jpg"),
        ("application/octet-stream", "file_cat~#.jpg"),
    ],
)
def test_a_medium_in_a_query_counts_where_the_server_names_none(
    content_type: str | None, leaf: str
) -> None:
    path = name("https://h/?file=cat.jpg", content_type)
    assert HASH.sub("~#", path.rpartition("/")[2]) == leaf


def test_an_extension_is_found_in_a_long_name_at_once() -> None:
    path = name("https://h/" + ".gz" * 200_000 + "?x")
    assert path.endswith(".gz.gz.gz.gz")


# --- laws -----------------------------------------------------------------------------------------


@given(st.lists(st.tuples(urls(), content_types), min_size=2, max_size=12))
def test_two_urls_never_share_a_name_nor_stand_in_each_others_way(
    lines: list[tuple[str, str | None]],
) -> None:
    owners: dict[str, str] = {}
    for url, content_type in lines:
        target = parse_url(url)
        for path in (body_path(target, content_type), alternate_path(target, content_type)):
            assert owners.setdefault(same_to_a_file_system(path), target.url) == target.url
    for path in owners:
        parents = path.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            assert "/".join(parents[:depth]) not in owners


def test_all_naughty_names_beside_and_below_each_other_are_told_apart() -> None:
    paths = [f"/{one}" for one in NAUGHTY] + [f"/{one}/" for one in NAUGHTY]
    paths += [f"/{one}/{other}" for one in NAUGHTY for other in ("a.html", "A.html", *NAUGHTY[:8])]
    targets = {parse_url(f"https://h{path}").url for path in paths}
    names = {same_to_a_file_system(name(url)) for url in targets}
    assert len(names) == len(targets)
    directories = {found[: match.start()] for found in names for match in re.finditer("/", found)}
    assert not directories & names


@given(urls(), content_types)
def test_every_name_is_safe(url: str, content_type: str | None) -> None:
    target = parse_url(url)
    path = body_path(target, content_type)
    assert path == body_path(target, content_type)
    assert_safe(path)
    assert_safe(alternate_path(target, content_type))


@given(st.text(), st.text(), st.text(), st.none() | st.text())
def test_a_name_is_safe_whatever_the_target_holds(
    host: str, path: str, content_type: str, filename: str | None
) -> None:
    target = Target(f"http://{host}/{path}", "http", host, 80, path, host)
    assert_safe(body_path(target, content_type, filename))


@given(
    st.text(st.sampled_from("abcXYZ019._-~!$&'()*+,;={}`\"")), st.integers(1, 65535), st.booleans()
)
def test_any_host_gets_a_directory_of_its_own(host: str, port: int, tls: bool) -> None:
    try:
        target = parse_url(f"http{'s' if tls else ''}://{host}:{port}/x.html")
    except InvalidURLError:
        return
    path = body_path(target)
    assert_safe(path)
    directory = path.partition("/")[0]
    assert "~" not in directory or HASH.search(directory)
    mark = directory.partition("+")[2]
    assert mark == ("" if tls and port == 443 else f"{port}{'s' if tls else ''}")


def test_hosts_that_are_longest_or_addresses_are_safe() -> None:
    longest = ".".join(["a" * 63] * 3 + ["b" * 61])
    for host in (longest, f"{longest}.", "[2001:db8::1]", "[::]", "h.", "-a", "_", "a..b", "xn--a"):
        target = Target(f"http://{host}:65535/x", "https", host.strip("[]"), 65535, "/x", host)
        assert_safe(body_path(target))


def test_the_deepest_and_longest_path_is_within_bounds() -> None:
    for width in range(80, 130):
        assert_safe(name("https://h/" + f"{'x' * width}/" * 9 + f"{'z' * width}.html"))
    for depth in range(1, 70):
        for component in ("d", "d.d", "12345", "x" * 94, "X" * 200, "%E4%B8%AD" * 9):
            path = name(f"https://{'h' * 60}.{'i' * 60}/{f'{component}/' * depth}x.html?q")
            assert_safe(path)
            assert len(path.split("/")) < 50


def test_what_lies_too_deep_is_told_apart() -> None:
    paths = {f"/{'d/' * depth}{leaf}" for depth in range(15, 40) for leaf in ("x.html", "y.html")}
    paths |= {f"/{'d/' * 25}{end}/x.html" for end in ("a/b", "a", "b", "a%2Fb", "", "/")}
    assert len({name(f"https://h{path}") for path in paths}) == len(paths)


def test_readable_characters_are_the_same_for_every_python() -> None:
    """Only what Unicode 3.2 knew is kept, so no newer database has a say."""
    old = unicodedata.ucd_3_2_0
    text = "".join(chr(code) for code in range(0x80, 0x20000) if not 0xD800 <= code < 0xE000)
    for start in range(0, len(text), 20):  # few enough that none is cut off
        for char in name("https://h/" + quote(text[start : start + 20])):
            assert char.isascii() or old.category(char)[0] in "LMN"
            assert char.isprintable()
    assert "_~" in name("https://h/" + quote("\U00016b00"))  # Pahawh Hmong, Unicode 7.0


@pytest.mark.parametrize("start", range(0x80, 0x3400, 0x600))
def test_every_common_character_makes_a_safe_name(start: int) -> None:
    for code in range(start, start + 0x600):
        if not 0xD800 <= code < 0xE000:
            assert_safe(name(f"https://h/{quote(chr(code) + 'x' + chr(code))}/y"))


# --- shards ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "form",
    [
        "https://h/img/{:06}.jpg",
        "https://h/img/{}.jpg",
        "https://h/img/{:08x}0000.jpg",
        "https://h/item?id={}",
        "https://h/item.php?id={}",
        "https://h/Item-{:05}",
        "https://h/item/{:06}/",
        "https://h/item/{:06}/photo.jpg",
    ],
)
def test_no_directory_holds_a_whole_family(form: str) -> None:
    entries: dict[str, set[str]] = {}
    for number in range(20_000):
        components = name(form.format(number)).split("/")
        for depth in range(1, len(components)):
            entries.setdefault("/".join(components[:depth]), set()).add(components[depth])
    sizes = Counter({directory: len(found) for directory, found in entries.items()})
    # 256 shards and what has too few digits to look like one of many.
    assert sizes.most_common(1)[0][1] <= 256 + 1_000


# --- Content-Disposition and foreign files --------------------------------------------------------


@pytest.mark.parametrize(
    ("filename", "readable"),
    [
        ("report.pdf", "report~#.pdf"),
        ("Report 2024.PDF", "Report_2024~#.pdf"),
        ("../../etc/passwd", "passwd~#.html"),
        ("..\\..\\boot.ini", "boot~#.ini"),
        ("/etc/cron.d/x", "x~#.html"),
        ("C:\\x.exe", "x~#.exe"),
        ("C:x.exe", "C_x~#.exe"),
        ("..", "_~#.html"),
        ("", "url~#.txt"),
        ("x/", "url~#.txt"),
        ("aux.txt", "_aux~#.txt"),
        ("\u202egpj.exe", "_gpj~#.exe"),
        ("a\x00b.txt", "a_b~#.txt"),
        ("%2e%2e%2fx.txt", "_2e_2e_2fx~#.txt"),
        ("\udcff.txt", "_~#.txt"),
        ("x" * 500 + ".txt", "x" * 94 + "~#.txt"),
        ("中" * 500 + ".txt", "中" * 31 + "~#.txt"),
        ("~root", "_root~#.html"),
        ("results.jsonl", "results~#.jsonl"),
        ("x.tar.gz", "x~#.tar.gz"),
        ("install.php", "install~#.php"),
    ],
)
def test_a_suggested_filename_is_made_safe_and_hashed(filename: str, readable: str) -> None:
    path = name("https://h/dir/url.txt", "text/html", filename)
    assert_safe(path)
    assert path.startswith("h/dir/")
    assert HASH.sub("~#", path.rpartition("/")[2]) == readable


def test_two_urls_with_one_suggested_filename_are_both_kept() -> None:
    assert name("https://h/1", None, "a.txt") != name("https://h/2", None, "a.txt")


def test_an_alternate_lies_in_the_same_directory_and_bears_a_hash() -> None:
    for url in ("https://h/a/page.html", "https://h/img/000123.jpg", "https://h/", "https://h/a?b"):
        target = parse_url(url)
        path, alternate = body_path(target), alternate_path(target)
        assert HASH.search(alternate)
        assert path.rpartition("/")[0] == alternate.rpartition("/")[0]
        assert (path == alternate) == bool(HASH.search(path))


@given(
    st.text(min_size=1, max_size=8),
    st.text(max_size=8),
    st.sampled_from(["", "/", "/a", "/a.txt", "/A B", "//"]),
    st.sampled_from(["", "a=b&", "&"]),
)
def test_nothing_of_a_marked_value_can_be_read_in_a_name(
    parameter: str, after: str, path: str, before: str
) -> None:
    """`--secret-param` relies on it."""
    url = f"https://example.org{path}?{before}{quote(parameter)}={CANARY}{quote(after)}"
    target = parse_url(url)
    with hiding([parameter]):
        for make in (body_path, alternate_path):
            assert CANARY not in make(target)
            assert make(target) != make(parse_url(url + "1"))


# --- names that lists wish


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.jpg", "a.jpg"),
        ("IMG 01.JPG", "IMG_01.JPG"),
        ("a/b.jpg", "a/b.jpg"),
        ("a\\b.jpg", "a/b.jpg"),
        ("v1.2/b.jpg", "v1.2+/b.jpg"),
        ("../../x", "x"),
        ("/etc/passwd", "etc/passwd"),
        (".fetchpool/lock", "fetchpool/lock"),
        ("Results.jsonl.new", "_Results.jsonl.new"),
        ("con.txt", "_con.txt"),
        ("a.", "a"),
        ("..", "_"),
        ("a\0b", "a_b"),
    ],
)
def test_wished_name_stays_as_it_is_where_it_is_safe(name: str, path: str) -> None:
    target = msgspec.structs.replace(parse_url("https://h.example/x?y"), name=name)
    assert body_path(target, "image/png", "other.gif") == path


@given(st.text() | st.text(st.sampled_from("./\\~+\0: aB\u00e9"), max_size=400))
def test_no_wished_name_leads_out_or_is_too_long(name: str) -> None:
    target = msgspec.structs.replace(parse_url("https://h.example/x"), name=name)
    paths = {body_path(target), alternate_path(target)}
    assert len(paths) == 1 + (not name.endswith("\0"))
    for path in paths:
        assert len(path.encode()) <= MAX_PATH + 20
        for component in path.split("/"):
            assert component.strip(". ") == component != ""
            assert len(component.encode()) <= MAX_COMPONENT + 1
            assert not set(component) & set('<>:"|?*\\\0')
        assert not path.lower().startswith(("results.jsonl", ".fetchpool"))
