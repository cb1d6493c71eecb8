"""A name server on loopback that says what the tests want, or the wrong thing, or nothing."""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from dnslib import AAAA, CNAME, QTYPE, RCODE, RR, A, DNSRecord

from tests.servers.thread import ThreadedServer


@dataclass(frozen=True, slots=True)
class Name:
    """What is known of one name."""

    addresses: tuple[str, ...] = ()
    alias: str | None = None
    """A CNAME; its own addresses are added to the answer as a real resolver would."""
    error: str | None = None
    """A DNS response code: `SERVFAIL`, `REFUSED`, …"""
    silent: bool = False
    then: tuple[str, ...] = ()
    """Addresses given from the second question on: rebinding."""
    malformed: bool = False
    """What is said of it breaks off in the middle."""
    after_malformed: bool = False
    """Answered (over UDP) when something malformed has been said to somebody, right behind it."""
    ttl: int = 300


class NameServer(ThreadedServer):
    """Answers for *names* (lower case, without final dot) over UDP and TCP; NXDOMAIN for others.

    `questions` counts what was asked, by (name, type), e.g. `("a.test", "AAAA")`.
    """

    def __init__(self, names: Mapping[str, Name]) -> None:
        super().__init__()
        self.names = names
        self.questions: Counter[tuple[str, str]] = Counter()
        # An address of its own for each test process; resolv.conf knows no port but 53.
        pid = os.getpid()
        self.address = f"127.53.{pid >> 8 & 255}.{pid & 255 or 1}"
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=(self.address, 53)
        )
        self._tcp = await asyncio.start_server(self._serve, self.address, 53)

    async def _close(self) -> None:
        if self._udp:
            self._udp.close()
        if self._tcp:
            self._tcp.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                length = int.from_bytes(await reader.readexactly(2), "big")
                reply = self.reply(await reader.readexactly(length))
                if reply is not None:
                    writer.write(len(reply).to_bytes(2, "big") + reply)
        except (OSError, asyncio.IncompleteReadError):
            return  # the asker left
        finally:
            writer.close()

    def reply(self, question: bytes) -> bytes | None:
        """Return the answer to *question*, both as on the wire; None for silence."""
        asked = DNSRecord.parse(question)
        text = str(asked.q.qname).rstrip(".").lower()
        kind = QTYPE[asked.q.qtype]
        self.questions[text, kind] += 1
        answer = asked.reply()
        name = self.names.get(text)
        if name is None:
            answer.header.rcode = RCODE.NXDOMAIN
        elif name.silent:
            return None
        elif name.error:
            answer.header.rcode = getattr(RCODE, name.error)
        else:
            answer.add_answer(*self._records(text, kind))
        whole = bytes(answer.pack())
        return whole[:-2] if name is not None and name.malformed else whole

    def known(self, question: bytes) -> Name:
        """Return what is known of the name *question* is about."""
        text = str(DNSRecord.parse(question).q.qname).rstrip(".").lower()
        return self.names.get(text) or Name()

    def _records(self, text: str, kind: str) -> list[RR]:
        """Return the chain of aliases from *text* on, and the addresses at its end."""
        records: list[RR] = []
        for _ in range(20):  # a loop of aliases must end somewhere
            name = self.names.get(text)
            if name is None:
                return records
            if name.alias is None:
                break
            records.append(RR(text, QTYPE.CNAME, rdata=CNAME(name.alias), ttl=name.ttl))
            text = name.alias
        else:
            return records
        again = name.then and self.questions[text, kind] > 1
        for address in map(ipaddress.ip_address, name.then if again else name.addresses):
            # As bytes: dnslib reads no address with a dotted tail (`::ffff:127.0.0.1`).
            if kind == "A" and address.version == 4:
                records.append(RR(text, QTYPE.A, rdata=A(tuple(address.packed)), ttl=name.ttl))
            elif kind == "AAAA" and address.version == 6:
                data = AAAA(tuple(address.packed))
                records.append(RR(text, QTYPE.AAAA, rdata=data, ttl=name.ttl))
        return records


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport
        self._held: list[tuple[bytes, tuple[str, int]]] | None = []

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = self._server.reply(data)
        if reply is None:
            return
        if self._held is not None and self._server.known(data).after_malformed:
            self._held.append((reply, addr))
            return
        self._transport.sendto(reply, addr)
        if self._held is not None and self._server.known(data).malformed:
            held, self._held = self._held, None
            for late, asker in held:
                self._transport.sendto(late, asker)
