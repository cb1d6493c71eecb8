"""A real browser without a window, driven over its debugging protocol: Chromium, where it is there.

Debian and Ubuntu: `apt-get install chromium`. It is given nothing to ask the network with.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp
import pytest

PROGRAM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

needs_browser = pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
    *("--no-first-run", "--no-default-browser-check", "--disable-extensions", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--mute-audio"),
    *("--disable-default-apps", "--hide-scrollbars", "--remote-debugging-port=0"),
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
PATIENCE_S = 60.0


class Browser:
    """A browser that runs; each page is a tab of its own."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def __aenter__(self) -> Browser:
        assert PROGRAM is not None
        self._process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *FLAGS,
            f"--user-data-dir={self._home}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8"},
            start_new_session=True,
        )
        assert self._process.stderr is not None
        said = b""
        async with asyncio.timeout(PATIENCE_S):
            while b"DevTools listening on " not in said:
                said = await self._process.stderr.readline()
                assert said, "the browser ended before it could be asked anything"
        self._errors = asyncio.create_task(self._process.stderr.read())
        self._session = aiohttp.ClientSession()
        address = said.decode().partition("DevTools listening on ")[2].strip()
        self._socket = await self._session.ws_connect(address, max_msg_size=0)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._pages: dict[str, Page] = {}
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._socket.close()
        await self._session.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        await asyncio.gather(self._reader, self._errors)

    async def _read(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                self._replies.pop(told["id"]).set_result(told)
            elif (page := self._pages.get(told.get("sessionId", ""))) is not None:
                page.hear(told["method"], told["params"])

    async def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """Call *method* of the protocol and return its result."""
        number = id(reply := asyncio.get_running_loop().create_future()) % (1 << 31)
        self._replies[number] = reply
        named = {} if session is None else {"sessionId": session}
        await self._socket.send_json({"id": number, "method": method, "params": params, **named})
        async with asyncio.timeout(PATIENCE_S):
            told = await reply
        assert "error" not in told, (method, told["error"])
        result: dict[str, Any] = told["result"]
        return result

    @contextlib.asynccontextmanager
    async def page(
        self, path: Path, *, width: int = 1280, dark: bool = False, scripts: bool = True
    ) -> AsyncIterator[Page]:
        """Have the file at *path* open, loaded and drawn."""
        target = (await self.ask("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.ask("Target.attachToTarget", targetId=target, flatten=True)
        page = Page(self, attached["sessionId"])
        self._pages[page.session] = page
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            await page.ask(f"{domain}.enable")
        await page.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await page.ask("Emulation.setEmulatedMedia", features=[scheme])
        await page.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        await page.ask("Page.navigate", url=path.as_uri())
        async with asyncio.timeout(PATIENCE_S):
            await page.loaded.wait()
        try:
            yield page
        finally:
            await self.ask("Target.closeTarget", targetId=target)


class Page:
    """A tab, and what was heard of it."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self.session = session
        self.loaded = asyncio.Event()
        self.requests: list[str] = []
        """URLs that were asked for."""
        self.blocked = 0
        """How many of these the page's policy stopped."""
        self.complaints: list[str] = []
        """What stands in the console, and what broke the page's policy."""

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Take in an event."""
        match method:
            case "Page.loadEventFired":
                self.loaded.set()
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Network.loadingFailed":
                self.blocked += params.get("blockedReason") == "csp"
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown" | "Audits.issueAdded":
                self.complaints.append(json.dumps(params))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Call *method* of the protocol for this tab."""
        return await self._browser.ask(method, self.session, **params)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript *expression*; works where the page's own is off."""
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    async def screenshot(self, path: Path, *, top: int = 0, height: int = 1800) -> None:
        """Write the page to *path* as PNG, *height* pixels from *top* on."""
        size = (await self.ask("Page.getLayoutMetrics"))["cssContentSize"]
        height = min(height, size["height"] - top)
        clip = {"x": 0, "y": top, "width": size["width"], "height": height, "scale": 1}
        shot = await self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(shot["data"]))
