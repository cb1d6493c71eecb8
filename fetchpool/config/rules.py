"""Which settings can't be combined, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fetchpool.config.expressions import counts_changes
from fetchpool.config.forms import check_records_file
from fetchpool.config.http_values import every_field, looks_names_up_itself
from fetchpool.config.options import is_set
from fetchpool.config.store_settings import DEFAULT_MAX_SIZE, MOST_IN_A_ROW, WARC_PREFIX
from fetchpool.config.values import ConfigError, Unfit, quoted
from fetchpool.model.remote import is_remote

if TYPE_CHECKING:
    from fetchpool.config.settings import Config

RIVALS = (
    (("data", "json"), "a request has one body"),
    (("head", "data"), "a HEAD has no body"),
    (("head", "json"), "a HEAD has no body"),
    (("method", "head"), "each says the method"),
    (("keepalive", "force_close"), "a connection that is closed after every request is never idle"),
    (("ipv4", "ipv6"), "each means that family alone"),
    (("retry_failed", "once", "fresh"), "each keeps other records of the earlier run"),
    (("retry_kinds", "once", "fresh"), "it selects what --retry-failed fetches"),
    (("fresh", "add"), "one keeps nothing, the other what is there"),
    (("refresh", "retry_failed", "once", "fresh"), "it asks for every URL again"),
    (("mtime", "no_body"), "one is about files, the other makes none"),
    (("shard", "fresh"), "a shard that is started again goes on; another DEST begins anew"),
    (("shard", "add"), "all shards of a DEST are of one list"),
    (("shard", "refresh"), "it compares with the run before, and shards of a DEST are one run"),
    (("shard", "save_cookies"), "each shard has cookies of its own, and would replace the others'"),
    (("default_scheme", "base"), "each completes what lacks a scheme in its own way"),
)
"""Settings of which at most one may be set, and why.

The command line wins over the file before (see `origins`); here all have the same rank.
"""


NEED_A_DIRECTORY = ("retry_failed", "once", "fresh", "add", "refresh", "shard")
"""Settings that have no effect without the records of an earlier run."""


_NOT_IN_A_STORE = (
    ("mtime", "objects have no time but that of their upload"),
    ("prune", "objects are not moved away"),
)
"""Settings that have no meaning for a DEST in an object store, and why."""


def check_place(config: Config, output: str | None) -> None:
    """Raise `ConfigError` where a setting does not fit the place that *output* names."""
    if output is None or not is_remote(output):
        if config.state is not None:
            raise ConfigError(
                "--state is for a DEST in an object store, as --output s3://bucket/prefix: "
                "elsewhere the state lies in DEST. Drop it."
            )
        if config.segment_size and config.store == "sqlite":
            raise ConfigError(
                "--segment-size can't be combined with --store sqlite: a database in a directory "
                "is one. Drop it."
            )
        return
    if config.refresh and config.store == "sqlite":
        raise ConfigError(
            f"--refresh can't be combined with --store sqlite and --output {output}: a database "
            "can't be read there body by body. Drop one of them."
        )
    for name, why in _NOT_IN_A_STORE:
        if getattr(config, name):
            raise ConfigError(f"--{name} can't be combined with --output {output}: {why}. Drop it.")


def check_shards(config: Config) -> None:
    """Raise `ConfigError` where a setting is about shards and the run is over the whole list.

    A program may name the shard when it runs, so that it isn't known before.
    """
    if config.hand_over and not config.shard:
        raise ConfigError("--hand-over is for a run of --shard: add --shard I/N, or drop it")


def check_has_directory(config: Config, output: str | None) -> None:
    """Raise `ConfigError` where a setting is about records on disk and there can be none."""
    if output is not None or not config.no_body:
        return
    for name in NEED_A_DIRECTORY:
        if getattr(config, name):
            flag = f"--{name}".replace("_", "-")
            raise ConfigError(
                f"{flag} is about the records of earlier runs, and --no-body without --output "
                f"keeps none: name a directory with --output, or drop {flag}"
            )


def check_together(config: Config) -> None:
    """Raise `ConfigError` where settings, each of them valid, can't be combined."""
    for names, reason in RIVALS:
        claims = [f"--{name}".replace("_", "-") for name in names if is_set(getattr(config, name))]
        if len(claims) > 1:
            raise ConfigError(
                f"{claims[0]} can't be combined with {claims[1]}: {reason}. Drop one of them."
            )
    if config.records not in (None, "-"):
        try:
            check_records_file(config.records, asked=config.records_format != "auto")
        except Unfit as unfit:
            raise ConfigError(f"--records {unfit.problem}: {unfit.remedy}") from None
    if config.retry_kinds and not config.retry_failed:
        raise ConfigError(
            "--retry-kinds selects failures for --retry-failed: add --retry-failed, or drop it"
        )
    if len(config.shard) > 1 and config.records is not None:
        raise ConfigError(
            "--records can't be combined with several shards, of which each has records of its "
            "own: fetchpool merge DEST --records FILE brings them together. Drop it."
        )
    if config.fail_if and counts_changes(config.fail_if) and not config.refresh:
        raise ConfigError(
            f"--fail-if {config.fail_if!r} counts what --refresh finds out: add --refresh, or name "
            "errors alone"
        )
    if config.prune and not config.refresh:
        raise ConfigError(
            "--prune is for URLs that a list has no more, which --refresh finds: add --refresh, "
            "or drop it"
        )
    if both := set(config.retry_on) & set(config.no_retry_on):
        raise ConfigError(
            f"--retry-on and --no-retry-on both name {min(both)}: drop it from one of them"
        )
    _check_store(config)
    if config.metrics_label and not config.metrics_file:
        raise ConfigError(
            "--metrics-label is for the metrics of --metrics-file: add --metrics-file, or drop it"
        )
    proxies = (config.proxy,) if isinstance(config.proxy, str) else config.proxy or ()
    if config.public_only and any(url and looks_names_up_itself(url) for url in proxies):
        raise ConfigError(
            "--public-only can't be combined with --proxy: a proxy resolves names itself, "
            "so the addresses can't be checked here. Drop one of them, or use socks5://…, for "
            "which names are looked up here."
        )
    for table in config.host.tables:
        own = str(table.values.get("proxy") or "")
        if config.public_only and own and looks_names_up_itself(own):
            raise ConfigError(
                f"--public-only can't be combined with the proxy of {table}: a proxy resolves "
                "names itself. Drop one of them."
            )
    if config.key is not None and config.cert is None:
        raise ConfigError("--key is the key of --cert: add --cert FILE, or drop it")
    _check_cookies(config)
    if config.method == "HEAD" and (body := _body_option(config)) is not None:
        raise ConfigError(f"--method HEAD can't be combined with {body}: a HEAD has no body")
    given = {name.lower() for name, _ in every_field(config.header)}
    if config.user is not None and "authorization" in given:
        raise ConfigError(
            "--user and --header 'Authorization: …' say the same thing twice: drop one of them"
        )
    if config.user_agent is not None and "user-agent" in given:
        raise ConfigError(
            "--user-agent and --header 'User-Agent: …' say the same thing twice: drop one of them"
        )


_ABOUT_FILES = ("no_body", "mtime", "content_disposition", "prune")
"""What is about files has no meaning for containers."""


def _check_store(config: Config) -> None:
    store = f"--store {config.store}"
    if config.in_containers:
        for name in _ABOUT_FILES:
            if getattr(config, name):
                flag = f"--{name}".replace("_", "-")
                raise ConfigError(
                    f"{flag} can't be combined with {store}: it is about files. Drop one of them."
                )
    elif config.segment_size:
        raise ConfigError("--segment-size is about containers: add --store, or drop it")
    if config.store == "warc" and config.exchange == "session":
        raise ConfigError(
            "--exchange session can't be combined with --store warc: it doesn't show what goes "
            "over the wire. Drop one of them."
        )
    if config.store != "warc" and config.warc_header:
        raise ConfigError("--warc-header is about WARCs: add --store warc, or drop it")
    if config.store != "warc" and config.warc_prefix != WARC_PREFIX:
        raise ConfigError("--warc-prefix is about WARCs: add --store warc, or drop it")
    most, wanted = MOST_IN_A_ROW.get(config.store, 0), config.max_size
    if most and (not wanted or wanted > max(most, DEFAULT_MAX_SIZE)):
        raise ConfigError(
            f"--max-size {wanted} can't be combined with {store}, which takes bodies of {most} "
            f"bytes at most: give --max-size {most} or less, or another --store"
        )
    if config.samples and config.store != "tar":
        raise ConfigError("--samples is about tars: add --store tar, or drop it")


def _check_cookies(config: Config) -> None:
    given = config.cookies
    if config.save_cookies is True and given is None:
        raise ConfigError(
            "--save-cookies writes to the file of --cookies, and there is none: add --cookies "
            "FILE, or name another file behind it"
        )
    if given is not None and given.missing and config.cookie_target != given.path:
        raise ConfigError(
            f"--cookies: there is no {quoted(given.path)}: name a cookies.txt, or add "
            "--save-cookies, which makes it"
        )


def _body_option(config: Config) -> str | None:
    """Return the option that gives requests a body, if one does."""
    if config.data is not None:
        return "--data"
    return "--json" if config.json is not None else None
