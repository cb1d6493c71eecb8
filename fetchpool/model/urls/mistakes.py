"""What is wrong with a line that is no http(s) URL, and what to do about it.

All lines of a kind get the same reason, which repeats nothing of the line, as that may be secret:
so one line of a report can tell of many. What differs, if anything, follows the first colon and
blank.
"""

from __future__ import annotations

import re

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST = r"(?:localhost|(?:[\w-]+\.)+(?:[^\W\d_]{2,}|xn--[\w-]+)\.?|(?:[0-9]{1,3}\.){3}[0-9]{1,3})"
_BARE_HOST = re.compile(rf"{_HOST}(?::[0-9]{{1,5}})?(?:[/?#][^@]*)?")
_HTTP = re.compile(r"https?:[/\\]", re.IGNORECASE)
_NO_COLON = re.compile(r"https?[;.,]?[/\\]{2}", re.IGNORECASE)
_MISSPELT = re.compile(r"(?:h{0,2}t{1,3}ps{0,2}|h[tx]{2}ps{0,2}|https?s|http[a-z]?):[/\\]", re.I)

_NOTE = re.compile(r"\s#")
_URL_BEHIND_BLANK = re.compile(r"\s[\"'<(\[|]?https?:[/\\]{2}", re.IGNORECASE)
_URL_BEHIND_SIGN = re.compile(r"[,;|][\"'<]?https?:[/\\]{2}", re.IGNORECASE)
_TEXT_BEHIND = re.compile(r"\s[\"|]")
_AUTHORITY = re.compile(r"[A-Za-z]+:[/\\]*([^/\\?#]*)")

_BETWEEN = re.compile(r"\s*[;|]\s*|,\s*|\s+")
_HOST_AND_PATH = re.compile(rf"{_HOST}(?::[0-9]{{1,5}})?/\S*")
_SEVERAL = "several URLs on one line; give each a line, or a row, of its own"

_ALONE = "keep the URL alone on its line"

_TOOLS = {
    **dict.fromkeys(("ftp", "ftps"), "curl or wget can"),
    **dict.fromkeys(("sftp", "scp"), "sftp or curl can"),
    **dict.fromkeys(("s3", "s3a", "s3n"), "aws s3 cp can, or the bucket's https:// address"),
    **dict.fromkeys(("gs", "gcs"), "gcloud storage cp can, or https://storage.googleapis.com/…"),
    **dict.fromkeys(("az", "azure", "abfs", "abfss", "wasb", "wasbs"), "azcopy can"),
    **dict.fromkeys(("hdfs", "webhdfs"), "hdfs dfs -get can"),
    **dict.fromkeys(("magnet", "ed2k"), "a client such as aria2c can"),
    "rsync": "rsync can",
    "drs": "a GA4GH client can, or the https:// access URL that its server names",
    "doi": "https://doi.org/ before the identifier leads to its page",
    **dict.fromkeys(("ipfs", "ipns"), "an IPFS client or a gateway's https:// address can"),
    **dict.fromkeys(("git", "git+ssh", "git+https", "ssh", "svn"), "git or svn can"),
    "file": "the file is on this machine already",
    **dict.fromkeys(("mailto", "tel", "sms", "javascript", "data", "about", "blob"),
                    "there is nothing to ask a server for"),
    **dict.fromkeys(("ws", "wss"), "a WebSocket client can"),
    **dict.fromkeys(("rtmp", "rtmps", "rtsp", "mms"), "ffmpeg or yt-dlp can"),
    "gopher": "curl can",
}  # fmt: skip


def mistake_in(text: str) -> str | None:
    """Return why *text*, stripped, is not exactly one http(s) URL; None if it may be one.

    A line with more than a URL is refused, not sent. A URL may contain blanks (real ones do:
    `/c d.pdf`), so these alone are no sign. Signs behind the scheme are: a blank and `#` (a note);
    a blank and another `http://` or `https://`, perhaps in a quote or bracket (a second URL); the
    same right behind `,`, `;` or `|`, in the path, or in a query without a URL before it
    (`?urls=http://a,http://b` is one URL, `/x,http://b/` a row); a blank and `"` or `|` (a title, a
    cell); a blank in the host. A `,` with anything else behind it belongs to the URL.
    """
    scheme = _SCHEME.match(text)
    if scheme is None or scheme[1].lower() not in ("http", "https"):
        return _of_no_scheme(text) if scheme is None else _of_scheme(text, scheme[1].lower())
    if _URL_BEHIND_BLANK.search(text) or _is_row(text):
        return _SEVERAL
    if _NOTE.search(text):
        return "a note behind the URL; give it a line of its own that begins with #"
    if _TEXT_BEHIND.search(text):
        return f"text behind the URL; {_ALONE}"
    authority = _AUTHORITY.match(text)
    if authority and re.search(r"\s", authority[1].rpartition("@")[2]):
        return f"a blank in the host name; if text stands behind the URL, {_ALONE}"
    return None


def would_be(text: str) -> str | None:
    """Return the URL that *text*, stripped, is if a scheme is put before it, or None."""
    if text.startswith("//") and _BARE_HOST.fullmatch(text[2:]):
        return f"https:{text}"
    return f"https://{text}" if _BARE_HOST.fullmatch(text) else None


def several_in(text: str) -> str | None:
    """Return what stands between the URLs in *text*, stripped; None where there is only one.

    Without a scheme, several are hosts, each with a path, or paths that begin alike:
    `h.example/a;h.example/b`, `vol1/a vol1/b`.
    """
    if _HTTP.match(text):
        found = _URL_BEHIND_BLANK.search(text)
        if found is None and _is_row(text):
            found = _URL_BEHIND_SIGN.search(text)
    else:
        found = _BETWEEN.search(text)
        parts = _BETWEEN.split(text.strip(" ;|,"))
        if found is not None and (len(parts) < 2 or not (_are_hosts(parts) or _are_paths(parts))):
            return None
    if found is None:
        return None
    start = found.start() - (text[found.start() - 1] in ",;|")
    return text[start : found.end()].lower().partition("http")[0].rstrip("\"'<([")


def _are_hosts(parts: list[str]) -> bool:
    return all(map(_HOST_AND_PATH.fullmatch, parts))


def _are_paths(parts: list[str]) -> bool:
    first, slash, _ = parts[0].partition("/")
    return bool(slash) and all(part.startswith(f"{first}/") for part in parts)


def _is_row(text: str) -> bool:
    path, _, query = text.partition("#")[0].partition("?")
    if _URL_BEHIND_SIGN.search(path):
        return True
    second = _URL_BEHIND_SIGN.search(query)
    return second is not None and not _HTTP.search(query, 0, second.start())


def _of_no_scheme(text: str) -> str:
    if text[:1] in ("{", "[") and '"' in text:
        return "a row of JSON; keep only its URL on the line"
    if _NO_COLON.match(text):
        return "the colon behind http or https is missing; a URL begins with http:// or https://"
    if _HTTP.search(text):
        if text[0] in "\"'<([":
            return "the URL stands in quotes or brackets; take them off"
        return f"text before the URL, or a row of a table; {_ALONE}"
    if several_in(text) is not None:
        return _SEVERAL
    if text.startswith("<"):
        return "a line of HTML or XML; keep only its URL on the line"
    if would_be(text) or text.startswith("//") or "@" in text:
        return (
            "the scheme is missing; write https:// before the host, or add --default-scheme https"
        )
    if text.startswith(("/", "./", "../", "\\")):
        return "a path without a host; add --base URL, or write https:// and the host before it"
    return "no URL; one begins with http:// or https://"


def _of_scheme(text: str, scheme: str) -> str:
    if would_be(text):  # `h.example:8080/x`, of which the first part looks like a scheme
        return _of_no_scheme(text)
    if scheme in _TOOLS:
        return f"{scheme} is not fetched here; {_TOOLS[scheme]}"
    if _MISSPELT.match(text):
        return "the scheme is misspelt; a URL begins with http:// or https://"
    if "://" not in text and ("@" in text or _HTTP.search(text)):
        return _of_no_scheme(text)
    return "only http:// and https:// URLs can be fetched"
