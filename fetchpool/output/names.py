"""URL → a safe path under DEST: readable, one-to-one, a function of the URL and Content-Type alone.

    https://example.org/v1.2/page.html           example.org/v1.2+/page.html
    https://example.org/v1.2/page.html?id=7      example.org/v1.2+/12+/page~12d2270dc0e21e7d.html
    http://example.org/img/000123.jpg            example.org+80/img/7c+/000123.jpg

A component is taken as it is if every file system holds it as it is: lower-case ASCII, nothing
special. Any other is reduced to its readable characters and bears `~` and a hash of what it was, so
two URLs differ in their names even where case or Unicode form doesn't count. An empty component
(`/a//b`) makes no directory: the file bears the hash then. Three laws hold:

* A file's name has a dot and ends in a letter or digit; a directory below the host's has no dot or
  ends in `+`. So no file stands where another URL needs a directory (`/a` and `/a/b`).
* A `+` at the end is ours: no component of a URL keeps one.
* `xx+` is a shard. Families without end (hashes, numbers) are spread over 256 of them, so that a
  directory stays usable when a million URLs share it.

Whoever changes a name counts up `NAMES` in `ledger/state`: then files under old names go.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b
from urllib.parse import unquote, unquote_plus

from fetchpool.model.urls import conceals
from fetchpool.model.values import Target
from fetchpool.output.media import answers_for, extension_of, is_medium, is_script, split_extension

MAX_COMPONENT = 120
"""Longest component in bytes. File systems hold 255, eCryptfs 143."""
MAX_PATH = 800
"""Longest path in bytes. macOS holds 1,024, DEST included."""
MAX_DEPTH = 20
"""Most directories of a URL that are kept; what lies deeper is one directory."""

_HASH_LENGTH = 16  # hex digits: 64 bits, so a million URLs of one directory share one in 4e7 runs
# Beside an extension of one part, 8 at most; a double one leaves less.
_MAX_READABLE = MAX_COMPONENT - len("~") - _HASH_LENGTH - len(".") - 8
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
SHARED = "\0"
"""Ends a wished name that another line had first: the file bears the hash of its URL, then."""

_PRIVATE = re.compile(r"results\.jsonl", re.IGNORECASE)
_LONGEST_EXTENSION = 16
_UNSAFE_ASCII = re.compile(r"[^A-Za-z0-9._-]+")
# Numbered families: counters and dates, but also hexadecimal names, which are mostly digits.
# Directories get one more: years are common among them, and families of four digits are small.
_NUMBERED_LEAF = re.compile(r"(?:[^0-9]*[0-9]){4}")
_NUMBERED_DIRECTORY = re.compile(r"(?:[^0-9]*[0-9]){5}")

_MAX_QUERY = 48
"""How many characters of a query a name has at most, where that is all there is."""
_MAX_TOKEN = 24
"""Of a longer parameter only the name is told, if these are no words: it may be a signature."""
_WORDS = re.compile(r"(?:[^\W\d_]{1,20}|\d{1,4})(?:[\W_]+(?:[^\W\d_]{1,20}|\d{1,4}))*+")


def body_path(target: Target, content_type: str | None = None, filename: str | None = None) -> str:
    """Return the path of *target*'s body, relative to DEST, with `/` between components.

    *content_type*, a header's value, decides the extension of a URL that has none, or one that says
    nothing of a file (`thumb.aspx`: see `media.answers_for`). *filename*, a base name the server
    suggests (Content-Disposition), takes the place of the URL's last component; it may be hostile,
    and as it isn't the URL's own the name bears a hash then. So does that of an answer to another
    request than a plain GET: the hash is of method and body, too.

    Every component is safe on Linux, macOS and Windows, at most `MAX_COMPONENT` bytes; the path is
    at most `MAX_PATH` bytes. Two URLs never share a path, nor does a file's path ever go through
    another's.
    """
    if target.name is not None:
        path = wished_path(target.name)
        return with_hash(path, target.key) if target.name.endswith(SHARED) else path
    path, query_mark, _ = target.path.partition("?")
    parents, _, leaf = path.rpartition("/")
    directory = _directory(target.scheme, target.host, target.port, parents)
    if (
        filename is not None
        or query_mark
        or target.variant
        or "//" in path
        or not _PLAIN_LEAF.fullmatch(leaf)
        or answers_for(leaf.rpartition(".")[2], content_type) is not None
    ):
        digest = _hash(target.key)
        name = _hashed_leaf(target, filename, digest, content_type)
        # A directory has one index that is nothing but that: no family to spread.
        if not leaf and not query_mark and not target.variant and filename is None:
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
    if target.name is not None:
        return with_hash(wished_path(target.name), target.key)
    directory = body_path(target, content_type, filename).rpartition("/")[0]
    return f"{directory}/{_hashed_leaf(target, filename, _hash(target.key), content_type)}"


def wished_path(name: str) -> str:
    """Return where the file goes that a list calls *name*, which may be hostile.

    `/` and `\\` make directories below DEST; `.`, `..` and nothing between two of them make none.
    Each component is safe as a URL's is, but for letters in upper case, which stay. A directory has
    no dot or ends in `+`, so none is a host's that has one.
    """
    parts = re.split(r"[/\\]", name.rstrip(SHARED))
    *parents, leaf = [_wished(part) for part in parts if part.strip(". ")] or ["_"]
    steps = [f"{each}+" if "." in each else each for each in parents[:MAX_DEPTH]]
    path = "/".join([*steps, leaf])
    if not steps and _PRIVATE.match(leaf):
        return f"_{leaf}"
    if len(parents) > MAX_DEPTH or len(path.encode()) > MAX_PATH:
        return with_hash(leaf, name)
    return path


def with_hash(path: str, key: str) -> str:
    """Return *path* with a hash of *key* before its extension."""
    parent, slash, leaf = path.rpartition("/")
    stem, dot, extension = leaf.rpartition(".")
    if not dot or len(extension) > _LONGEST_EXTENSION:
        stem, dot, extension = leaf, "", ""
    room = MAX_COMPONENT - len("~") - _HASH_LENGTH - len(dot + extension)
    stem = stem.encode()[:room].decode(errors="ignore")
    return f"{parent}{slash}{stem}~{_hash(key)}{dot}{extension}"


def _wished(component: str) -> str:
    """Return *component* of a wished name, safe, with its extension where it has to be cut."""
    safe = _readable(component, MAX_COMPONENT)
    if len(component.encode("utf-8", "surrogatepass")) > _MAX_READABLE:
        safe = with_hash(safe + _extension_of(component), component)
    return safe.rstrip(".") or "_"


def _extension_of(component: str) -> str:
    stem, dot, extension = component.rpartition(".")
    is_short = extension.isascii() and extension.isalnum() and len(extension) <= _LONGEST_EXTENSION
    return dot + extension if stem and is_short else ""


@lru_cache(maxsize=1024)
def _directory(scheme: str, host: str, port: int, parents: str) -> str:
    """Return the directory of the URLs below *parents* (`/a/b`) at a host; it ends in a slash.

    Remembered, as neighbours in a list share it: 0.2 µs instead of 2.
    """
    path = _host_directory(scheme, host, port) + "/"
    components = [component for component in parents.split("/")[1:] if component]
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


def _hashed_leaf(
    target: Target, filename: str | None, digest: str, content_type: str | None
) -> str:
    """Return a file's name that bears *digest*, the hash of its URL, before the extension."""
    suggested = re.split(r"[/\\]", filename)[-1] if filename else ""
    path, _, query = target.path.partition("?")
    leaf = path.rpartition("/")[2]
    if suggested:
        stem, extension = _named(suggested, content_type, is_own=False)
    elif leaf:
        stem, extension = _named(unquote(leaf), content_type, is_own=True)
    else:
        stem, extension = _named_by_query(target, query, content_type)
    room = min(_MAX_READABLE, MAX_COMPONENT - len("~.") - _HASH_LENGTH - len(extension))
    return f"{_readable(stem, room)}~{digest}.{extension}"


def _named(text: str, content_type: str | None, *, is_own: bool) -> tuple[str, str]:
    """Return what *text*, a base name, says without its extension, and the extension to have.

    A name that is the URL's own (*is_own*) may lose its extension to that of the type; what a
    server suggests it means.
    """
    stem, extension = split_extension(text)
    if extension is None and is_own and ";" in text:
        # `view.jsp;jsessionid=…`: parameters of the component (RFC 3986 §3.3), no part of its name.
        text = text.partition(";")[0]
        stem, extension = split_extension(text)
    if extension is None:
        return text or "index", extension_of(content_type) or "bin"
    better = answers_for(extension, content_type) if is_own else None
    if better is None:
        return stem, extension
    return _without(better, stem if is_script(extension) else text), better


def _named_by_query(target: Target, query: str, content_type: str | None) -> tuple[str, str]:
    """Return the same for a URL whose query is all the name it has: `/?id=cat-photo`.

    Its letters are no file's name, so a medium in them counts only where the server says nothing.
    """
    text = _readable_query(target, query)
    known = extension_of(content_type)
    _, extension = split_extension(text)
    if known is None and extension is not None and is_medium(extension):
        known = extension
    return _without(known, text) if known else text, known or "bin"


def _readable_query(target: Target, query: str) -> str:
    """Return the words of *query*, `index` where there are none or one of them is a secret."""
    words = []
    for parameter in re.split("[&;]", query) if query else ():
        text = unquote_plus(parameter)
        if len(text) > _MAX_TOKEN and not _WORDS.fullmatch(text):
            text, equals, _ = text.partition("=")
            if not equals or len(text) > _MAX_TOKEN:
                continue
        words.append(text)
    text = "&".join(words)[:_MAX_QUERY]
    if not any(map(str.isalnum, text)) or conceals(target.url):
        return "index"
    return text


def _without(extension: str, text: str) -> str:
    """Return *text* without *extension*, if it ends so."""
    stem, own = split_extension(text)
    return stem if own == extension and stem else text


def _hashed(readable: str, hashed: str) -> str:
    return f"{readable}~{_hash(hashed)}"


def _hash(text: str) -> str:
    data = text.encode("utf-8", "surrogatepass")
    return blake2b(data, digest_size=_HASH_LENGTH // 2).hexdigest()


def _readable(text: str, most: int = _MAX_READABLE) -> str:
    """Return what people can read of *text*, safe at the start of a component, never empty.

    Letters, digits, `.`, `_` and `-` stay, whatever lies between becomes one `_`; the result is in
    NFC, starts with a letter, a digit or `_`, and has at most *most* bytes.
    """
    if text.isascii():
        safe = _UNSAFE_ASCII.sub("_", text)
    else:
        safe = "".join(char if _is_safe(char) else " " for char in text[:_MAX_READABLE])
        safe = unicodedata.normalize("NFC", re.sub(" +", "_", safe))
    safe = safe.lstrip(".-")
    if not safe or _is_mark(safe[0]) or _RESERVED.match(safe):
        safe = "_" + safe
    return safe.encode()[:most].decode(errors="ignore")


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
