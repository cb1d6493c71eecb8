"""What curl, wget, aria2c, xargs and GNU parallel spell otherwise, and what it is called here.

One table: options of theirs that `fetchpool get` lacks, with what is to be said of them. A sentence
that begins with an option of ours names the same thing; others say what takes its place, or that
nothing does. One letter may be two tools' options: then the sentence names both.
"""

from __future__ import annotations

import re
from functools import cache

_HABITS = (
    # how many at once
    ("-j --jobs --parallel-max --max-concurrent-downloads --max-procs --threads --max-threads "
     "--concurrency --max-concurrency --concurrent --max-concurrent --connections "
     "--max-connections",
     "--limit N is how many requests run at once"),
    ("-Z --parallel --parallel-immediate",
     "--limit N is how many requests run at once; they do by themselves"),
    ("--max-connection-per-server --parallel-max-host --limit-per-host --per-server",
     "--per-host N is how many requests one host gets at once"),
    ("-P", "--limit N is how many run at once (xargs -P), --output DEST is the directory (wget)"),
    ("-x", "--proxy URL is the proxy (curl -x), --per-host N bounds requests to a host (aria2c)"),
    ("--split --min-split-size --piece-length --stream-piece-selector",
     "a file comes in one piece, over one connection"),
    # where the list comes from
    ("-i --input-file -a --arg-file --url --urls --from-file",
     "the list is an argument: fetchpool get urls.txt"),
    ("-K", "the list is an argument, fetchpool get urls.txt; --config FILE names a TOML file"),
    ("-0 --null", r"lines end in line feeds: tr '\0' '\n' < LIST | fetchpool get -"),
    ("--max-args --max-lines --max-chars --replace --no-run-if-empty --colsep",
     "each line of the list is one request; an empty list is no error"),
    ("--shuf --random-order", "the list says the order: shuf LIST | fetchpool get -"),
    ("--deferred-input", "a list is read as it is needed, always"),
    ("-g --globoff", "URLs are taken as they stand, with [] and {}"),
    ("-G --get --url-query", "parameters stand in the URLs of the list"),
    # where bodies go
    ("-O --remote-name --remote-name-all --output-document",
     "--output DEST is a directory; each file is named after its URL"),
    ("--output-dir --directory-prefix --dir --create-dirs --results --dest --destination",
     "--output DEST is the directory; it is made"),
    ("-J --remote-header-name --trust-server-names",
     "--content-disposition takes file names from that header"),
    ("-nd -nH --no-directories --no-host-directories --cut-dirs --force-directories "
     "--protocol-directories --restrict-file-names --default-page",
     "files lie by host and path, under names that any system holds; that can't be changed"),
    ("--adjust-extension --html-extension",
     "a name without an ending gets that of its Content-Type by itself"),
    ("-nc --no-clobber --skip-existing", "--once fetches only lines that have no record yet"),
    ("-N --timestamping -z --time-cond --if-modified-since --etag-compare --etag-save "
     "--conditional-get",
     "--refresh asks for what has changed since the last run, by ETag or date"),
    ("-c",
     "the same command goes on by itself (wget -c); --save-cookies FILE writes cookies (curl -c)"),
    ("--continue -C --continue-at --resume --save-session --remove-on-error",
     "the same command, given again, goes on where it stopped, within bodies too"),
    ("--clobber --allow-overwrite --no-cache-dir", "--fresh keeps nothing of an earlier run"),
    ("--resume-failed", "--retry-failed keeps what was ok and fetches the rest"),
    ("-R --remote-time --use-server-timestamps --no-use-server-timestamps",
     "--mtime gives files the time of Last-Modified; links are not followed (wget -R)"),
    ("-D --dump-header --save-headers --server-response --include --show-headers",
     "header fields of answers are not kept; --records - tells status, type and final URL"),
    ("--checksum --check-integrity", "--hash records the SHA-256 of every body"),
    # what is asked
    ("--request", "--method METHOD is how every line is asked for"),
    ("--spider", "--head asks for the heads of answers alone"),
    ("--data-raw --data-binary --data-ascii --post-data --body-data",
     "--data TEXT is the body of every request, as it stands; @FILE is a file's bytes"),
    ("--post-file --body-file", "--data @FILE is the body of every request"),
    ("--data-urlencode", "--data TEXT sends a body as it stands: encode it before"),
    ("-F --form --form-string",
     "forms of several parts are not made; --data @FILE sends a body as it stands"),
    ("--upload-file", "--data @FILE with --method PUT sends a file to every URL"),
    ("-T", "--read-timeout S is the longest silence (wget -T), --data @FILE a body (curl -T)"),
    ("--header-file", "--header @FILE reads header fields from a file, one a line"),
    ("-e --referer", "--header 'Referer: URL' sends it"),
    ("-b --cookie --load-cookies",
     "--cookies FILE sends those of a cookies.txt; --header 'Cookie: NAME=VALUE' sends one"),
    ("--cookie-jar", "--save-cookies FILE keeps those of responses, and writes them at the end"),
    ("--keep-session-cookies --junk-session-cookies",
     "--save-cookies FILE writes session cookies, too; the next run sends them"),
    ("--no-cookies", "no cookies are kept unless --cookies or --save-cookies asks for it"),
    ("-U", "--user-agent TEXT says it (wget -U); a proxy's password is part of --proxy (curl -U)"),
    ("--http-user --http-password --http-passwd --password --ask-password --basic "
     "--auth-no-challenge --http-auth-challenge",
     "--user USER:PASSWORD says who asks"),
    ("--digest --ntlm --negotiate --anyauth --aws-sigv4",
     "--user is Basic alone; --header 'Authorization: …' sends what is made elsewhere"),
    ("--oauth2-bearer", "--bearer-file FILE has tokens, each behind its origin"),
    ("-n --netrc-file --netrc-optional --netrc-path",
     "--netrc [FILE] reads user and password of each host"),
    ("--no-netrc", "no .netrc is read unless --netrc asks for it"),
    ("--compressed --compression --http-accept-gzip --tr-encoding",
     "answers come compressed and are unpacked by themselves; --as-received leaves them packed"),
    ("-r", "parts of files are not fetched (curl -r), nor are links followed (wget -r)"),
    ("--range --start-pos", "whole files are fetched; where one broke off, the next run goes on"),
    ("--recursive -l --level -p --page-requisites -np --no-parent --mirror --domains --accept "
     "--reject --span-hosts --convert-links --follow-tags --accept-regex --reject-regex",
     "links are not followed: the list names every URL"),
    # how
    ("-L --location --location-trusted", "--max-redirects N bounds redirects; they are followed"),
    ("-k --no-check-certificate --check-certificate",
     "--insecure leaves certificates unverified"),
    ("--ca-certificate --ca-directory --capath", "--cacert FILE names extra roots, in PEM"),
    ("-E --certificate", "--cert FILE is the certificate for servers that ask for one, in PEM"),
    ("--private-key", "--key FILE is the private key of --cert, in PEM"),
    ("--cert-type --key-type --private-key-type --pass",
     "--cert and --key are PEM files without a passphrase"),
    ("--ciphers --tls-max --tlsv1 --tlsv1.0 --tlsv1.1 --tlsv1.2 --tlsv1.3 --tls13-ciphers "
     "--secure-protocol --min-tls-version --pinnedpubkey --crlfile --proto --https-only",
     "which TLS is spoken is left to Python and OpenSSL"),
    ("--http1.0 --http1.1 --http2 --http2-prior-knowledge --http3 --http3-only --http0.9",
     "HTTP/1.1 is spoken, and nothing else"),
    ("--proxy-user --proxy-password --proxy-passwd --http-proxy --https-proxy --all-proxy "
     "--http-proxy-user --http-proxy-passwd --proxytunnel",
     "--proxy http://USER:PASSWORD@HOST:PORT is the proxy of all requests"),
    ("--socks5", "--proxy socks5://HOST:PORT looks names up here"),
    ("--socks5-hostname", "--proxy socks5h://HOST:PORT has the proxy look names up"),
    ("--socks4 --socks4a", "--proxy socks4a://HOST:PORT has the proxy look names up"),
    ("--preproxy", "a request goes through one proxy; --proxy URL names it"),
    ("--noproxy --no-proxy", "--proxy '' goes without one; NO_PROXY in the environment says where"),
    ("--inet4-only --disable-ipv6", "--ipv4 connects to such addresses only"),
    ("--inet6-only", "--ipv6 connects to such addresses only"),
    ("--resolve --connect-to --doh-url --dns-servers --async-dns-server --interface "
     "--bind-address --local-port --unix-socket --prefer-family",
     "where connections go can't be set; names come from /etc/hosts and the system's resolver"),
    ("--no-dns-cache", "--dns-ttl 0 keeps no address"),
    ("--no-keepalive --no-http-keep-alive --disable-keepalive",
     "--force-close makes a new connection for every request"),
    ("--keepalive-time", "--keepalive SECONDS is how long an idle connection stays open"),
    # how long, how fast, how often
    ("--tries --retry --max-tries --retry-count",
     "--retries N is how often it is tried again, the first attempt not counted"),
    ("-t", "--retries N is how often it is tried again (wget -t), --timeout S bounds one URL"),
    ("--retry-wait --waitretry",
     "--retry-delay S is the first pause, at least; it grows by itself; Retry-After is kept"),
    ("--retry-max-time", "--max-time S bounds the whole run, --retries N the attempts at a URL"),
    ("--retry-on-http-error",
     "--retry-on STATUSES are tried again, too; 5xx and passing faults are by themselves"),
    ("--retry-connrefused --retry-all-errors --retry-on-host-error",
     "passing faults, refused connections too, are tried again by themselves, --retries N times"),
    ("-w", "--host-rate R is requests a second to a host (wget -w), --records - tells all (curl)"),
    ("--wait --random-wait --delay", "--host-rate R is requests a second to one host"),
    ("--write-out", "--records - writes what came of each URL as a line of JSON"),
    ("--limit-rate --max-download-limit --max-overall-download-limit",
     "bytes a second are not bounded; --rate R and --host-rate R bound requests a second"),
    ("-m", "--timeout S bounds one URL, --max-time S the run (curl -m); no links (wget -m)"),
    ("--stop", "--max-time S bounds the whole run"),
    ("--dns-timeout", "--connect-timeout S is for DNS, TCP and TLS of one attempt"),
    ("-Y --speed-limit --lowest-speed-limit",
     "--min-speed BYTES is the speed, over 30 s, below which an attempt ends"),
    ("-y --speed-time", "30 s is the time that --min-speed BYTES looks at"),
    ("--max-filesize", "--max-size SIZE is the largest body"),
    ("-Q --quota", "--max-size SIZE bounds one body; all together are not bounded"),
    # what is said, and what it means
    ("-s --silent -nv --no-verbose", "--quiet says nothing where all went well"),
    ("-S --show-error", "what failed is named at the end by itself, under --quiet too"),
    ("-v --verbose --debug --trace --trace-ascii --trace-time --trace-ids --log-level",
     "what is sent can't be watched; --log-file PATH tells of failures and pauses"),
    ("--append-output --output-file --log --joblog --stderr",
     "--log-file PATH gets one line an event"),
    ("-# --progress-bar --show-progress --bar --eta --summary-interval",
     "--progress WHEN is auto, always or never"),
    ("--no-progress-meter --no-progress", "--progress never shows none"),
    ("-f --fail --fail-with-body --no-fail",
     "error pages are not stored anyway; --fail-if says what makes the exit status 1"),
    ("--fail-early --halt --halt-on-error",
     "--fail-if says what makes the exit status 1; no failure stops the others"),
    ("--content-on-error", "--keep-errors stores the bodies of answers that aren't 2xx too"),
    ("--keep-order", "records come as answers end; their seq is the line's number"),
    ("-V", "the version is told by fetchpool --version"),
    ("--background --daemon", "the shell does it: fetchpool get urls.txt &"),
)  # fmt: skip


@cache
def habits() -> dict[str, str]:
    """Return what is to be said of each option of other tools: `-k`, `-nc`, `--threads`."""
    return {name: said for names, said in _HABITS for name in names.split()}


def same_elsewhere(written: str) -> str | None:
    """Return our option for the same thing as *written* of another tool, or None; no dashes."""
    said = habits().get(f"--{written}", "")
    return said.split()[0].removeprefix("--") if said.startswith("--") else None


def options_in(said: str) -> set[str]:
    """Return the options of ours that the sentence names, without their dashes."""
    return set(re.findall(r"(?<![\w-])(?<!fetchpool )--([a-z][a-z0-9-]*)", said))
