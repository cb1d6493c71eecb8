"""`Config`: every setting of a run, each described once, validated once, picklable.

A field's annotation is the option: its panel in the help, its kind of value, the sentence that
explains it. Command line, environment variables, TOML keys, `fetchpool config`, help and reference
are all made from these (`options()`). Those of the network are in `network_settings`, those of
lists in `list_settings`.
"""

import dataclasses
from dataclasses import dataclass
from functools import cache
from os import PathLike
from typing import Annotated, Any, Literal, get_args, get_origin

from fetchpool import __version__
from fetchpool.config.credential_values import BearerFile, CookiesFile, NetrcFile, SavedCookies
from fetchpool.config.expressions import FailureKinds, WhatToRetry, exceeds, matches
from fetchpool.config.forms import check_directory, check_file, check_text_file
from fetchpool.config.host_rules import NO_RULES, HostRules, host_rules
from fetchpool.config.http_values import (
    Headers,
    ParameterNames,
    ProxyUrl,
    UserAgents,
    has_sets,
)
from fetchpool.config.installed import project_url
from fetchpool.config.label_values import Labels
from fetchpool.config.list_values import Columns
from fetchpool.config.options import Also, Option, Panel, checked_value
from fetchpool.config.report_settings import ReportSettings
from fetchpool.config.request_values import Body, Credentials, JsonBody, Method, ask_of
from fetchpool.config.rules import check_together
from fetchpool.config.shard_values import Shards
from fetchpool.config.store_settings import DEFAULT_MAX_SIZE
from fetchpool.config.typed import (
    AgentsGiven,
    BodyGiven,
    FieldsGiven,
    HostsGiven,
    NamesGiven,
    OptionalPathGiven,
    PathGiven,
    ProxyGiven,
    ShardsGiven,
    SizeGiven,
    Takes,
    TriedAgainGiven,
    default,
)
from fetchpool.config.values import (
    Choice,
    Destination,
    FilePath,
    Size,
    Switch,
    Whole,
    seconds,
)
from fetchpool.model.asking import Ask
from fetchpool.model.credentials import BearerTokens, CookieFile, Netrc
from fetchpool.model.limits import most_per_host
from fetchpool.model.reading import Reading
from fetchpool.model.shards import Shard

DEFAULT_KEEPALIVE_S = 15.0

OUTPUT = Option(
    "output",
    None,
    Panel.IO,
    Destination(check_directory),
    "The directory, or s3://bucket/prefix, for bodies and records",
    Also(
        short="-o",
        default="NAME.fetched",
        example="pages",
        more="`NAME.fetched` for a list NAME.EXT, else `fetched`, in the current directory. "
        "With an object store (`s3://`, `gs://`, `az://`), records are in the directory of "
        "`--state`, too. "
        "A name that looks like another place (`sftp://…`) or a file (`.zip`, `.parquet`, `.csv`, "
        "`.html`, …) is refused, unless it is an existing directory.",
    ),
)
"""Where a run writes: an option like the others, but an argument of `run()`, not in `Config`."""


DRY_RUN = Option(
    "dry_run",
    False,
    Panel.IO,
    Switch(),
    "Show what would be asked, and send nothing; a pipe gets JSON lines",
    Also(
        more="No name is looked up, and DEST and all other files stay as they are. Lines that a "
        "record in DEST answers under the same flags are left out and counted. A name is that of "
        "a body of unknown type: Content-Type may change its ending."
    ),
)
"""What the command line does instead of a run: no field of `Config` either."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Config(ReportSettings):
    """Every setting of a run; the defaults are those of the command line.

    Raises:
        ConfigError: a value is not accepted, or two exclude each other; the message names the
            option, what it accepts, and what to try.
    """

    column: Annotated[
        Takes[tuple[tuple[str, str], ...], FieldsGiven],
        Panel.IO,
        Columns(),
        "Which column gives url, method, headers, body, name or checksum; repeatable",
        Also(
            example="url=image_link",
            more="NAME is a column's name in the header, its number from 1, or a key of JSON. "
            "`headers` holds a JSON object, or lines `Name: value`. What a row says wins over what "
            "the run says; an empty cell says nothing. Only the column of the URL is found without "
            "being named.",
        ),
    ] = default(())
    segment_size: Annotated[
        Takes[int, SizeGiven],
        Panel.IO,
        Size("SIZE"),
        "Where a container ends and the next one begins",
        Also(
            default="1G",
            example="500M",
            more="A body that is larger has a container of its own. 0 = as by default, which is "
            "256M for Parquet. Of SQLite there is one database, unless DEST is in an object store "
            "(256M, too).",
        ),
    ] = default(0)
    records: Annotated[
        Takes[str | None, PathGiven],
        Panel.IO,
        FilePath(dash=True, promised=check_file),
        "File for all records, written at the end; - or a pipe: this command's, as they come",
        Also(
            example="records.jsonl",
            more="A file gets what `results.jsonl` in DEST has, with the records kept of an "
            "earlier run, also after a stop; it is replaced in one step. A pipe, a device or "
            "`-` gets each record after the ledger has it; so does a file where there is no "
            "DEST.",
        ),
    ] = default(None)
    records_format: Annotated[
        Literal["auto", "jsonl", "csv"],
        Panel.IO,
        Choice("FORMAT", "auto", "jsonl", "csv"),
        "Form of --records: auto (csv where PATH ends in .csv), jsonl or csv",
        Also(
            more="CSV is RFC 4180 in UTF-8 with a header line: null is an empty cell, control "
            "characters are escapes such as `\\x1b`, and a `'` stands before what a spreadsheet "
            "would run as a formula. `results.jsonl` is always JSON."
        ),
    ] = "auto"
    no_body: Annotated[
        bool,
        Panel.IO,
        Switch(),
        "Fetch, count and check bodies, store none; without -o nothing stays on disk",
        Also(more="Without `-o` there is no ledger and no lock, and a stopped run can't go on."),
    ] = False
    durability: Annotated[
        Literal["none", "batch", "strict"],
        Panel.IO,
        Choice("LEVEL", "none", "batch", "strict"),
        "What is fsynced when: none, batch or strict",
    ] = "batch"

    method: Annotated[
        str | None,
        Panel.REQUESTS,
        Method(),
        "Method of every request: GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
        Also(
            short="-X",
            default="GET",
            example="POST",
            more="POST if there is a body. Records name the method, and the body that comes back "
            "has a file name of its own unless it answers a plain GET. A stopped run goes on "
            "with the same method and body.",
        ),
    ] = None
    head: Annotated[
        bool,
        Panel.REQUESTS,
        Switch(),
        "Request only the heads of responses: --method HEAD",
        Also(short="-I", more="No body comes, and none is stored; `path` is null."),
    ] = False
    data: Annotated[
        Takes[bytes | None, BodyGiven],
        Panel.REQUESTS,
        Body(),
        "Body of every request, sent unchanged; @FILE: the bytes of a file",
        Also(
            short="-d",
            example="a=1",
            more="The method is POST unless `--method` says otherwise, the Content-Type "
            "`application/x-www-form-urlencoded` unless `--header` does. `@-` is standard "
            "input, on the command line and only if the list doesn't come from there.",
        ),
    ] = default(None)
    json: Annotated[
        Takes[bytes | None, BodyGiven],
        Panel.REQUESTS,
        JsonBody(),
        "The same as JSON, with the Content-Type and Accept of JSON",
        Also(example="[1, 2]", more="Invalid JSON is refused; valid JSON is sent unchanged."),
    ] = default(None)

    robots: Annotated[
        bool,
        Panel.REQUESTS,
        Switch(),
        "Obey robots.txt: ask each host for it first, refuse what it refuses, keep its pace",
        Also(
            more="RFC 9309, for the product token of the User-Agent that is sent. What is refused "
            "fails as `blocked`, with the rule in `detail`; a Crawl-delay is kept, up to five "
            "minutes. See [robots.md](robots.md)."
        ),
    ] = False

    connect_timeout: Annotated[
        float,
        Panel.TIMEOUTS,
        seconds(),
        "DNS, TCP and TLS of one attempt; 0 = none",
        Also(more="Part of `ClientTimeout`: the connector has no such parameter."),
    ] = 10.0
    read_timeout: Annotated[
        float, Panel.TIMEOUTS, seconds(), "Longest silence of the server; 0 = none"
    ] = 30.0
    timeout: Annotated[
        float,
        Panel.TIMEOUTS,
        seconds(),
        "Time for one URL with redirects and body, without retries and waiting",
        Also(default="0: none", example="60"),
    ] = 0.0
    min_speed: Annotated[
        Takes[int, SizeGiven],
        Panel.TIMEOUTS,
        Size("BYTES"),
        "Bytes/s over the last 30 s below which an attempt times out; 0 = off",
        Also(
            more="Counted from the first byte of the response, without the time in which fetchpool "
            "doesn't read."
        ),
    ] = default(64)
    max_time: Annotated[
        float,
        Panel.TIMEOUTS,
        seconds(),
        "Time for the whole run; then it stops as on Ctrl-C and exits 75",
        Also(
            default="0: none",
            example="3600",
            more="Nothing starts after it; requests in progress get a tenth of it to end, 5 s at "
            "most. The next command goes on.",
        ),
    ] = 0.0

    max_size: Annotated[
        Takes[int, SizeGiven],
        Panel.RESPONSES,
        Size("SIZE"),
        "Largest body, on the wire or decoded (10M, 1.5G); 0 = no cap",
        Also(
            more="K, M, G, T count in 1024 (as KiB, MiB, …), KB, MB, GB, TB in 1000. With `--store "
            "sqlite` it is 999,000,000 bytes at most, with `--store parquet` 2,000,000,000."
        ),
    ] = default(DEFAULT_MAX_SIZE)
    max_redirects: Annotated[
        int,
        Panel.RESPONSES,
        Whole(0, 1000),
        "Redirects followed; 0 = none, the 3xx is the response",
    ] = 10
    keep_errors: Annotated[
        bool,
        Panel.RESPONSES,
        Switch(),
        "Also store the bodies of complete responses that aren't 2xx",
        Also(more="Without it an error page never becomes a file."),
    ] = False
    as_received: Annotated[
        bool,
        Panel.RESPONSES,
        Switch(),
        "Store bodies without undoing their Content-Encoding",
        Also(
            more="Whatever the coding, known or not; `detail` in the record names it. Without "
            "this, only a file's own coding is left on (`x.tar.gz`)."
        ),
    ] = False
    hash: Annotated[bool, Panel.RESPONSES, Switch(), "Record the SHA-256 of every stored body"] = (
        False
    )
    mtime: Annotated[
        bool, Panel.RESPONSES, Switch(), "Give each file the time of its Last-Modified"
    ] = False
    content_disposition: Annotated[
        bool, Panel.RESPONSES, Switch(), "Take the base name of a file from that header field"
    ] = False

    retry_on: Annotated[
        Takes[tuple[str, ...], TriedAgainGiven],
        Panel.RETRIES,
        WhatToRetry(),
        "Also try these again: statuses (404,5xx), kinds of error (tls); repeatable",
        Also(
            example="404,5xx,tls",
            more="A status, a range (`520-529`), a class (`5xx`), or a kind of error; `status` is "
            "every status that isn't ok. `fetchpool config` shows all that is tried again. Of two "
            "that hold a status the narrower one counts: `--retry-on 5xx --no-retry-on 501`. A "
            "redirect that is followed is never tried again for its status, nor is a name that "
            "doesn't exist. What isn't idempotent stays as `--retry-all-methods` says.",
        ),
    ] = default(())
    no_retry_on: Annotated[
        Takes[tuple[str, ...], TriedAgainGiven],
        Panel.RETRIES,
        WhatToRetry(),
        "Don't try these again, of the same form; repeatable",
        Also(
            example="500,timeout",
            more="A 429 or 503 that isn't tried again is its URL's answer; its host rests all the "
            "same.",
        ),
    ] = default(())
    retry_delay: Annotated[
        float | None,
        Panel.RETRIES,
        seconds(),
        "Shortest pause before the second attempt; doubles with each further one",
        Also(
            default="0.125 to 0.5, by kind",
            example="5",
            more="Each pause lies at random between this and twice as much, and grows up to a "
            "minute. 0 = at once, but for a failed look-up of a name, which is remembered for half "
            "a second. `Retry-After` and the rest of a host after 429 and 503 count if longer.",
        ),
    ] = None
    retry_all_methods: Annotated[
        bool,
        Panel.RETRIES,
        Switch(),
        "Also retry requests that aren't idempotent (POST, PATCH), and reuse their connections",
        Also(
            more="Without it such a request is sent again only if nothing of it has left, or after "
            "408, 425, 429 and 503, with which a server says that it hasn't done it (RFC 9110 "
            "§9.2.2); and each has a connection of its own, as the server may close a kept one "
            "at that moment. For requests that may safely be done twice."
        ),
    ] = False

    header: Annotated[
        Takes[tuple[tuple[str, str], ...], FieldsGiven],
        Panel.TRUST,
        Headers(),
        "Header field for the URL's own origin, or @FILE of one a line; repeatable",
        Also(
            short="-H",
            example="Accept-Language: en",
            more="A file of JSON lines holds sets of fields, of which each host always gets the "
            "same one: see [hosts.md](hosts.md#identities). Other users can read a command line; "
            "`FETCHPOOL_HEADER` (one header a line) or the file keep a secret better. Bodies are "
            "decoded with an `Accept-Encoding` of yours, too.",
        ),
    ] = default(())
    user_agent: Annotated[
        Takes[str | tuple[str, ...] | None, AgentsGiven],
        Panel.TRUST,
        UserAgents(),
        "What fetchpool calls itself, or @FILE of one a line; '' sends no such header",
        Also(
            short="-A",
            default="fetchpool/VERSION",
            example="mybot/1.0 (+https://example.org)",
            more="The project's address follows, `(+https://…)`, where the package was built with "
            "one. Of a file's lines each host always gets the same one. See "
            "[hosts.md](hosts.md#identities).",
        ),
    ] = default(None)
    user: Annotated[
        str | None,
        Panel.CREDENTIALS,
        Credentials(),
        "Credentials for Basic authentication, to the URL's own origin only",
        Also(
            short="-u",
            example="me:secret",
            more="Sent as UTF-8, never written or shown. A URL's own `USER:PASSWORD@` comes first. "
            "Other users can read a command line; `FETCHPOOL_USER` or the file keep it better.",
        ),
    ] = None
    netrc: Annotated[
        Takes[Netrc | None, OptionalPathGiven],
        Panel.CREDENTIALS,
        NetrcFile(),
        "Take user and password of each host from a netrc file, ~/.netrc if none is named",
        Also(
            default="off",
            example=".netrc",
            more="They go to the host that is named, also where a redirect leads there, but not "
            "from https to plain http; those of `default` only to a URL's own origin. `--user` "
            "comes first. A word behind `--netrc` is FILE: put it last, or write `--netrc=`.",
        ),
    ] = default(None)
    bearer_file: Annotated[
        Takes[BearerTokens | None, PathGiven],
        Panel.CREDENTIALS,
        BearerFile(),
        "File of bearer tokens: lines of an origin and its token",
        Also(
            example="tokens",
            more="As in `https://api.example.org TOKEN`. A token goes to its origin only, also "
            "where a redirect leads there. `--user` comes first.",
        ),
    ] = default(None)
    cert: Annotated[
        Takes[str | None, PathGiven],
        Panel.CREDENTIALS,
        FilePath("FILE"),
        "PEM file of a certificate that servers get which ask for one",
        Also(
            example="client.pem",
            more="Any server that asks gets it, a proxy over TLS too. The file may hold the key as "
            "well.",
        ),
    ] = default(None)
    key: Annotated[
        Takes[str | None, PathGiven],
        Panel.CREDENTIALS,
        FilePath("FILE"),
        "PEM file of the private key of --cert, without a passphrase",
        Also(default="in --cert", example="client.key"),
    ] = default(None)
    cookies: Annotated[
        Takes[CookieFile | None, PathGiven],
        Panel.CREDENTIALS,
        CookiesFile(),
        "Send the cookies of a cookies.txt, and keep those of responses for this run",
        Also(
            example="cookies.txt",
            more="Netscape's format, as curl and browsers' extensions write it. Each cookie goes "
            "where its own domain, path and Secure allow; a `Cookie` header of yours wins. The "
            "file may be missing if `--save-cookies` writes it.",
        ),
    ] = default(None)
    save_cookies: Annotated[
        Takes[str | bool | None, OptionalPathGiven],
        Panel.CREDENTIALS,
        SavedCookies(),
        "Keep cookies of responses, and write all to FILE at the end, else to that of --cookies",
        Also(
            default="off",
            example="cookies.txt",
            more="In one step, readable by you alone, also when the run was stopped. Session "
            "cookies are written, too. What a killed run had is lost.",
        ),
    ] = default(None)
    proxy: Annotated[
        Takes[str | tuple[str, ...] | None, ProxyGiven],
        Panel.TRUST,
        ProxyUrl(),
        "Proxy for all requests, HTTP or SOCKS; '' = none; repeatable: a pool",
        Also(
            default="environment",
            example="http://proxy.example:3128",
            more="Without it `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` hold, read "
            "once and checked in the same way. Escapes in its credentials stand for bytes. "
            "`socks5://` gets addresses, looked up here; `socks5h://` and `socks4a://` get names. "
            "These need `pip install 'fetchpool[socks]'`. In a pool each host stays with one "
            "proxy while that is good; one that fails rests, and its hosts go on with others.",
        ),
    ] = default(None)
    proxy_file: Annotated[
        Takes[str | None, PathGiven],
        Panel.TRUST,
        FilePath("FILE"),
        "File of proxies, a URL a line: a pool, with those of --proxy",
        Also(
            example="proxies.txt", more="Blank lines and those that begin with `#` are passed over."
        ),
    ] = default(None)
    insecure: Annotated[
        bool, Panel.TRUST, Switch(), "Don't verify TLS certificates; the records concerned say so"
    ] = False
    cacert: Annotated[
        Takes[str | None, PathGiven],
        Panel.TRUST,
        FilePath("FILE"),
        "PEM file of roots to trust beside the system's",
        Also(example="roots.pem"),
    ] = default(None)
    public_only: Annotated[
        bool,
        Panel.TRUST,
        Switch(),
        "Never connect to a private, loopback or otherwise non-public address",
        Also(
            more="Can't be combined with a `--proxy` that resolves names itself: any but `socks5://`."
        ),
    ] = False
    secret_param: Annotated[
        Takes[tuple[str, ...], NamesGiven],
        Panel.TRUST,
        ParameterNames(),
        "Query parameter whose value is sent but never written or shown; repeatable",
        Also(
            example="token",
            more="In any case, with or without escapes. Records and messages have `***` in its "
            "place, as for userinfo. When a run goes on, no record and no part of a body is "
            "kept of such a URL.",
        ),
    ] = default(())

    retry_failed: Annotated[bool, Panel.AGAIN, Switch(), "Keep what was ok, fetch the rest"] = False
    retry_kinds: Annotated[
        Takes[tuple[str, ...], NamesGiven],
        Panel.AGAIN,
        FailureKinds(),
        "Which failures --retry-failed means: timeout,connect,status:5xx",
        Also(default="all", example="timeout,connect,status:5xx"),
    ] = default(())
    once: Annotated[
        bool, Panel.AGAIN, Switch(), "Keep every record, fetch only lines without one"
    ] = False
    fresh: Annotated[bool, Panel.AGAIN, Switch(), "Keep no record of an earlier run"] = False
    refresh: Annotated[
        bool,
        Panel.AGAIN,
        Switch(),
        "Ask only for what has changed since the last run; records say new, changed, same or gone",
        Also(
            more="With `If-None-Match` or `If-Modified-Since`, as the server told them. Where it "
            "told neither, bodies are compared by their hashes. A body that is the same stays as "
            "it is. After a stopped run it goes on."
        ),
    ] = False
    prune: Annotated[
        bool,
        Panel.AGAIN,
        Switch(),
        "With --refresh: move bodies of URLs that the list has no more to .fetchpool/pruned",
        Also(more="Only files that are as fetchpool stored them, and that no other record names."),
    ] = False
    add: Annotated[
        bool,
        Panel.AGAIN,
        Switch(),
        "Add this list's records to those of other lists in DEST, which stay",
        Also(
            more="The other flags decide what is kept of this list's own earlier records. "
            "Records name their `source` and `line`. Each list from a pipe is a list of its own, "
            "unless an earlier one of its name was stopped or `--once` is given. Can't be combined "
            "with `--fresh`, nor, for a pipe, with `--retry-failed`."
        ),
    ] = False

    shard: Annotated[
        Takes[tuple[Shard, ...], ShardsGiven],
        Panel.SHARDS,
        Shards(),
        "Take part I of N of the list, from 0 to N-1, by host; several: 3,19,35/64; auto",
        Also(
            default="the whole list",
            example="3/64",
            more="Each part has a directory of its own in DEST, `shard-00003-of-00064`. "
            "`--per-host`, `--host-rate` and a server's Retry-After hold over all of them, as all "
            "lines of a host are in one part; `--rate` is divided by N; `--limit` is each "
            "process'. `auto` and `auto/64` take the part from the scheduler: Kubernetes (which "
            "needs `auto/N`), SLURM, AWS Batch, Google Batch, Cloud Run. Implies `--once`, and "
            "`--fail-if never` unless that is given. See [scale.md](scale.md).",
        ),
    ] = default(())
    hand_over: Annotated[
        bool,
        Panel.SHARDS,
        Switch(),
        "Don't follow redirects to hosts of other shards: list them in handover.jsonl",
        Also(
            more="Such a line fails as `redirect`. Without it they are followed, one at a time a "
            "host, at an Nth of its `--host-rate`. See [scale.md](scale.md#hops)."
        ),
    ] = False

    log_file: Annotated[
        Takes[str | None, PathGiven],
        Panel.REPORTING,
        FilePath(promised=check_text_file),
        "Append a line for each event; survives rotation",
        Also(example="fetchpool.log"),
    ] = default(None)
    metrics_file: Annotated[
        Takes[str | None, PathGiven],
        Panel.REPORTING,
        FilePath(promised=check_text_file),
        "Prometheus textfile, replaced in one step",
        Also(
            example="fetchpool.prom",
            more="For one job only. A run that could not start writes it, too: only its exit "
            "status and the time, unless PATH holds something else, or a run that has ended "
            "meanwhile.",
        ),
    ] = default(None)
    metrics_label: Annotated[
        Takes[tuple[tuple[str, str], ...], FieldsGiven],
        Panel.REPORTING,
        Labels(),
        "Label on every metric of --metrics-file, such as job=pages; repeatable",
        Also(
            example="job=pages",
            more="Names as Prometheus has them; `result`, `kind` and `quantile` are taken. The "
            "time of the last success is kept for the same labels.",
        ),
    ] = default(())

    host: Takes[HostRules, HostsGiven] = default(NO_RULES)
    """Settings of some hosts; a table in the file, `[host."*.example.org"]`, and no option."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", host_rules(self.host))
        for option in fields():
            checked = checked_value(option, getattr(self, option.name))
            object.__setattr__(self, option.name, checked)
        check_together(self)

    def __repr__(self) -> str:
        """Show what differs from the defaults, without secrets."""
        shown = (
            f"{option.name}={option.show(value) if option.kind.secret else repr(value)}"
            for option in fields()
            if (value := getattr(self, option.name)) != option.default
        )
        hosts = (f"host={self.host!r}",) if self.host else ()
        return f"Config({', '.join((*shown, *hosts))})"

    @property
    def ask(self) -> Ask:
        """The method, fields and body for lines of a list, and for URLs given as texts."""
        return ask_of(self)

    @property
    def reading(self) -> Reading:
        """How lists are read."""
        return Reading(self.input_format, self.column, self.carry, self.default_scheme, self.base)

    @property
    def keeps_cookies(self) -> bool:
        """Whether cookies are sent, and those of responses kept."""
        return self.cookies is not None or self.save_cookies is not None

    @property
    def cookie_target(self) -> str | None:
        """Where cookies are written at the end; None: nowhere."""
        if self.save_cookies is True and self.cookies is not None:
            return self.cookies.path
        return self.save_cookies if isinstance(self.save_cookies, str) else None

    @property
    def keepalive_s(self) -> float:
        """How long an idle connection stays open, seconds; unused with `force_close`."""
        return DEFAULT_KEEPALIVE_S if self.keepalive is None else self.keepalive

    @property
    def connections_per_host(self) -> int:
        """How many connections some host may have; 0 = any number."""
        limits = [most_per_host(each) for each in self.host.all_of("per_host", self.per_host)]
        return max(limits) if all(limits) else 0

    @property
    def user_agent_text(self) -> str:
        """The `User-Agent` to send unless a header of the user's sets it; empty for none."""
        if self.user_agent is None:
            url = project_url()
            return f"fetchpool/{__version__}" + (f" (+{url})" if url else "")
        return self.user_agent if isinstance(self.user_agent, str) else self.user_agent[0]

    @property
    def asks_by_host(self) -> bool:
        """Whether hosts are asked in different ways: by tables, or as one of several identities."""
        return bool(self.host) or isinstance(self.user_agent, tuple) or has_sets(self.header)

    @property
    def asks_robots(self) -> bool:
        """Whether the robots.txt of some host is obeyed."""
        return any(self.host.all_of("robots", self.robots))

    def fails(self, errors: int, lines: int, **changes: int) -> bool:
        """Tell whether a finished run with *errors* among *lines* exits 1 (`--fail-if`).

        With `--refresh`, *changes* has the numbers of `new`, `changed`, `gone` and `left`.
        """
        by_default = "never" if self.shard else "errors>0"
        return exceeds(self.fail_if or by_default, errors, lines, changes)

    @property
    def shard_part(self) -> float:
        """How much of the list, and of `rate`, is this run's: 1 without shards."""
        return len(self.shard) / self.shard[0].count if self.shard else 1.0

    @property
    def rate_here(self) -> float:
        """The requests per second of this run; 0 = no such limit."""
        return self.rate * self.shard_part

    @property
    def has_proxy_pool(self) -> bool:
        """Whether there may be several proxies to choose from."""
        return self.proxy_file is not None or isinstance(self.proxy, tuple)

    def retries_kind(self, error: str, status: int | None) -> bool:
        """Tell whether `--retry-failed` fetches a recorded failure again (`--retry-kinds`)."""
        return matches(self.retry_kinds, error, status)


@cache
def fields() -> tuple[Option, ...]:
    """Return the option behind every field of `Config`, in the order of the help."""
    declared = dataclasses.fields(Config)
    every = (_option(field) for field in declared if get_origin(field.type) is Annotated)
    return tuple(sorted(every, key=lambda option: list(Panel).index(option.panel)))


@cache
def options() -> tuple[Option, ...]:
    """Return every option of `get`: the fields of `Config`, and two that are none."""
    return (OUTPUT, DRY_RUN, *fields())


def _option(field: dataclasses.Field[Any]) -> Option:
    """Make an option of a field's annotation."""
    _, panel, kind, sentence, *also = get_args(field.type)
    return Option(field.name, field.default, panel, kind, sentence, also[0] if also else Also())


def check_output(output: str | PathLike[str] | None) -> str | None:
    """Return *output*, the destination given by a program, as a text, or raise `ConfigError`."""
    path: str | None = checked_value(OUTPUT, output)
    return path
