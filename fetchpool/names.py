"""URL → a safe path under DEST: readable, one-to-one, and a function of the URL alone.

    https://example.org/v1.2/page.html           example.org/v1.2+/page.html
    https://example.org/v1.2/page.html?id=7      example.org/v1.2+/12+/page~12d2270dc0e21e7d.html
    http://example.org/img/000123.jpg            example.org+80/img/7c+/000123.jpg

A component is taken as it is if every file system holds it as it is: lower-case ASCII, nothing
special. Any other is reduced to its readable characters and bears `~` and a hash of what it was, so
two URLs differ in their names even where case or Unicode form doesn't count. Three laws hold:

* A file's name has a dot and ends in a letter or digit; a directory below the host's has no dot or
  ends in `+`. So no file stands where another URL needs a directory (`/a` and `/a/b`).
* A `+` at the end is ours: no component of a URL keeps one.
* `xx+` is a shard. Families without end (hashes, numbers) are spread over 256 of them, so that a
  directory stays usable when a million URLs share it.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote

from fetchpool.models import Target

MAX_COMPONENT = 120
"""Longest component in bytes. File systems hold 255, eCryptfs 143."""
MAX_PATH = 800
"""Longest path in bytes. macOS holds 1,024, DEST included."""
MAX_DEPTH = 20
"""Most directories of a URL that are kept; what lies deeper is one directory."""

_HASH_LENGTH = 16  # hex digits: 64 bits, so a million URLs of one directory share one in 4e7 runs
_MAX_READABLE = MAX_COMPONENT - len("~") - _HASH_LENGTH - len(".") - 8  # 8: the longest extension
# After the directories that are kept may come one that stands for the rest, a shard and the leaf.
_MAX_DIRECTORIES = MAX_PATH - len("xx+/") - 2 * (MAX_COMPONENT + 1)

# Names that Windows gives to devices, whatever extension follows.
_DEVICE = r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9¹²³])(?:\.|\Z)"
_RESERVED = re.compile(_DEVICE, re.IGNORECASE)
_PLAIN_LEAF = re.compile(
    rf"(?!{_DEVICE})[a-z0-9_][a-z0-9_.-]{{0,{_MAX_READABLE - 1}}}\.(?=[0-9]*[a-z])[a-z0-9]{{1,8}}"
)
_PLAIN_DIRECTORY = re.compile(rf"(?!{_DEVICE})[a-z0-9_][a-z0-9_.-]{{0,{_MAX_READABLE - 1}}}")
# `results.jsonl` and what is written beside it lie where the hosts' directories do.
_PLAIN_HOST = re.compile(
    rf"(?!{_DEVICE}|results\.jsonl)(?=.{{1,{_MAX_READABLE}}}\Z)"
    r"[a-z0-9_][a-z0-9_-]*(?:\.[a-z0-9_-]+)*"
)
_UNSAFE_ASCII = re.compile(r"[^A-Za-z0-9._-]+")
_EXTENSION = re.compile(r"\.(?=[0-9]*[A-Za-z])([A-Za-z0-9]{1,8})\Z")
# Numbered families: counters and dates, but also hexadecimal names, which are mostly digits.
# Directories get one more: years are common among them, and families of four digits are small.
_NUMBERED_LEAF = re.compile(r"(?:[^0-9]*[0-9]){4}")
_NUMBERED_DIRECTORY = re.compile(r"(?:[^0-9]*[0-9]){5}")

# Not the `mimetypes` module: its answers depend on the machine and the Python version, so a name
# would too. Types as registered at IANA, extensions as people write them.
_EXTENSION_OF_TYPE = {
    "application/atom+xml": "atom",
    "application/epub+zip": "epub",
    "application/gzip": "gz",
    "application/javascript": "js",
    "application/json": "json",
    "application/msword": "doc",
    "application/pdf": "pdf",
    "application/rss+xml": "rss",
    "application/vnd.apache.parquet": "parquet",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.presentationml.presentation": "pptx",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/x-gzip": "gz",
    "application/x-ndjson": "ndjson",
    "application/x-tar": "tar",
    "application/yaml": "yaml",
    "application/xhtml+xml": "xhtml",
    "application/xml": "xml",
    "application/zip": "zip",
    "application/zstd": "zst",
    "audio/mpeg": "mp3",
    "audio/ogg": "ogg",
    "audio/wav": "wav",
    "font/woff": "woff",
    "font/woff2": "woff2",
    "image/avif": "avif",
    "image/gif": "gif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/tiff": "tif",
    "image/webp": "webp",
    "image/x-icon": "ico",
    "text/calendar": "ics",
    "text/css": "css",
    "text/csv": "csv",
    "text/html": "html",
    "text/javascript": "js",
    "text/markdown": "md",
    "text/xml": "xml",
    "video/mp4": "mp4",
    "video/webm": "webm",
}
_EXTENSION_OF_SUFFIX = {"json": "json", "xml": "xml", "zip": "zip", "gzip": "gz"}  # RFC 6839


def body_path(target: Target, content_type: str | None = None, filename: str | None = None) -> str:
    """Return the path of *target*'s body, relative to DEST, with `/` between components.

    *content_type*, a header's value, decides the extension of a URL that has none. *filename*, a
    base name the server suggests (Content-Disposition), takes the place of the URL's last
    component; it may be hostile, and as it isn't the URL's own the name bears a hash then.

    Every component is safe on Linux, macOS and Windows, at most `MAX_COMPONENT` bytes; the path is
    at most `MAX_PATH` bytes. Two URLs never share a path, nor does a file's path ever go through
    another's.
    """
    path, query_mark, _ = target.path.partition("?")
    parents, _, leaf = path.rpartition("/")
    directory = _directory(target.scheme, target.host, target.port, parents)
    if filename is not None or query_mark or not _PLAIN_LEAF.fullmatch(leaf):
        digest = _hash(target.url)
        name = _hashed_leaf(leaf, filename, digest, content_type)
        # A directory has one index that is nothing but that: no family to spread.
        if not leaf and not query_mark and filename is None:
            return directory + name
        return f"{directory}{digest[:2]}+/{name}"
    if _NUMBERED_LEAF.match(leaf):
        return f"{directory}{_hash(target.url)[:2]}+/{leaf}"
    return directory + leaf


def alternate_path(
    target: Target, content_type: str | None = None, filename: str | None = None
) -> str:
    """Return where *target*'s body goes if a foreign file has the name `body_path` gives it.

    It lies in the same directory and always bears a hash, so no other URL's path is the same. Where
    `body_path` bears it already the two are equal.
    """
    directory = body_path(target, content_type, filename).rpartition("/")[0]
    leaf = target.path.partition("?")[0].rpartition("/")[2]
    return f"{directory}/{_hashed_leaf(leaf, filename, _hash(target.url), content_type)}"


@lru_cache(maxsize=1024)
def _directory(scheme: str, host: str, port: int, parents: str) -> str:
    """Return the directory of the URLs below *parents* (`/a/b`) at a host; it ends in a slash.

    Remembered, as neighbours in a list share it: 0.2 µs instead of 2.
    """
    path = _host_directory(scheme, host, port) + "/"
    components = parents.split("/")[1:]
    for index, component in enumerate(components):
        step = _directory_step(component)
        if index >= MAX_DEPTH or len(path.encode()) + len(step.encode()) > _MAX_DIRECTORIES:
            return path + _hashed_directory(components[-1], "/".join(components[index:])) + "/"
        path += step
    return path


def _host_directory(scheme: str, host: str, port: int) -> str:
    """Return `example.org` for https on port 443, `example.org+80` and so on for other origins."""
    name = host if _PLAIN_HOST.fullmatch(host) else _hashed(_readable(host), host)
    if scheme == "https":
        return name if port == 443 else f"{name}+{port}s"
    return f"{name}+{port}"


def _directory_step(component: str) -> str:
    """Return what a *component* of a URL adds to a path: itself or a name for it, and a slash."""
    if _PLAIN_DIRECTORY.fullmatch(component):
        name = component + "+" if "." in component else component
    else:
        name = _hashed_directory(component, component)
    if _NUMBERED_DIRECTORY.match(component):
        return f"{_hash(component)[:2]}+/{name}/"
    return name + "/"


def _hashed_directory(component: str, hashed: str) -> str:
    """Return a name without a dot, readable as *component*, with the hash of *hashed*."""
    return _hashed(_readable(unquote(component)).replace(".", "_"), hashed)


def _hashed_leaf(leaf: str, filename: str | None, digest: str, content_type: str | None) -> str:
    """Return a file's name that bears *digest*, the hash of its URL, before the extension."""
    suggested = re.split(r"[/\\]", filename)[-1] if filename else ""
    text = suggested or unquote(leaf) or "index"
    match = _EXTENSION.search(text)
    if match is None:
        return f"{_readable(text)}~{digest}.{_extension_of(content_type)}"
    return f"{_readable(text[: match.start()])}~{digest}.{match[1].lower()}"


def _extension_of(content_type: str | None) -> str:
    """Return the extension for a Content-Type header's value, `bin` where nothing is known.

    RFC 9110 §8.3 lets a recipient take what has no type for application/octet-stream.
    """
    media_type = (content_type or "").partition(";")[0].strip().lower()
    known = _EXTENSION_OF_TYPE.get(media_type)
    if known is not None:
        return known
    suffix = _EXTENSION_OF_SUFFIX.get(media_type.rpartition("+")[2])
    if suffix is not None and "+" in media_type:
        return suffix
    return "txt" if media_type.startswith("text/") else "bin"


def _hashed(readable: str, hashed: str) -> str:
    return f"{readable}~{_hash(hashed)}"


def _hash(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=_HASH_LENGTH // 2).hexdigest()


def _readable(text: str) -> str:
    """Return what people can read of *text*, safe at the start of a component, never empty.

    Letters, digits, `.`, `_` and `-` stay, whatever lies between becomes one `_`; the result is in
    NFC, starts with a letter, a digit or `_`, and has at most `_MAX_READABLE` bytes.
    """
    if text.isascii():
        safe = _UNSAFE_ASCII.sub("_", text)
    else:
        safe = "".join(char if _is_safe(char) else " " for char in text[:_MAX_READABLE])
        safe = unicodedata.normalize("NFC", re.sub(" +", "_", safe))
    safe = safe.lstrip(".-")
    if not safe or _is_mark(safe[0]) or _RESERVED.match(safe):
        safe = "_" + safe
    return safe.encode()[:_MAX_READABLE].decode(errors="ignore")


def _is_safe(char: str) -> bool:
    """Whether *char* is an ASCII character of names, or a letter, mark or digit elsewhere.

    By Unicode 3.2, which Python keeps for ever beside its newest version: a name doesn't change
    with the Python in use, and APFS, which refuses characters it doesn't know, knows them all.
    """
    if char.isascii():
        return char.isalnum() or char in "._-"
    category = unicodedata.ucd_3_2_0.category(char)
    return category[0] in "LMN" and category != "Me"  # of those that enclose, some became controls


def _is_mark(char: str) -> bool:
    return unicodedata.ucd_3_2_0.category(char).startswith("M")
