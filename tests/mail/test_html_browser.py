"""HTML of mails in a real browser: nothing of it runs, and nothing is fetched. The same HTML as it came does both."""

from __future__ import annotations

import asyncio
import html
import re
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sync.mail_html import safe_html
from tests.redis_server import need

BROWSER = "chromium"
OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
DEADLINE = 50.0  # seconds, for the browser

# `RUN` is a script that fetches `/ran/…`, `GET` an address below `/got/…`.
RUNNING = [
    "<script>RUN</script>",
    "<script src='GET'></script>",
    "<SCRIPT\x0cx>RUN</SCRIPT>",
    "<img src=x: onerror='RUN'>",
    "<img src=x:\nonerror='RUN'>",
    "<img/src=x:/onerror='RUN'>",
    "<img src='x:' alt='`' onerror='RUN'>",
    "<svg onload='RUN'>",
    "<svg><script>RUN</script></svg>",
    "<svg><a xlink:href='javascript:RUN'><text y='9'>x</text></a></svg>",
    "<svg><animate onbegin='RUN' attributeName='x' dur='1s'></animate></svg>",
    "<svg><style><img src='x:' onerror='RUN'></style></svg>",
    "<svg><foreignObject><img src='x:' onerror='RUN'></foreignObject></svg>",
    "<svg></p><style><a title='</style><img src=x: onerror=RUN>'></style></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=x: onerror=\"RUN\"&gt;'>",
    "<math><annotation-xml encoding='text/html'><img src='x:' onerror='RUN'></annotation-xml></math>",
    "<form><math><mtext></form><form><mglyph><style></math><img src='x:' onerror='RUN'>",
    "<noscript><p title='</noscript><img src=x: onerror=\"RUN\">'></noscript>",
    "<textarea><img title='</textarea><img src=x: onerror=\"RUN\">'></textarea>",
    "<title><img title='</title><img src=x: onerror=\"RUN\">'></title>",
    "<xmp><p title='</xmp><img src=x: onerror=\"RUN\">'></xmp>",
    "<!--><img src='x:' onerror='RUN'>-->",
    "<!-- --!><img src='x:' onerror='RUN'>-->",
    "<![CDATA[><img src='x:' onerror='RUN'>]]>",
    "<a href='javascript:RUN'>a</a>",
    "<a href=' &#1;java&#9;script&colon;RUN'>a</a>",
    "<a href='JaVaScRiPt:RUN'>a</a>",
    "<iframe src='javascript:RUN'></iframe>",
    "<iframe srcdoc='<script>RUN</script>'></iframe>",
    "<object data='javascript:RUN'></object>",
    "<object data='data:text/html,<script>RUN</script>'></object>",
    "<embed src='data:text/html,<script>RUN</script>'>",
    "<body onload='RUN'>",
    "<details open ontoggle='RUN'>a</details>",
    "<input autofocus onfocus='RUN'>",
    "<video><source onerror='RUN' src='x:'></video>",
    "<audio src='x:' onerror='RUN'></audio>",
    "<p onmouseover='RUN' style='width:99px'>a</p>",
    "<form action='javascript:RUN'><button>a</button></form>",
    "<isindex action='javascript:RUN' type=submit>",
    "<style>@keyframes k{}</style><p style='animation-name:k' onanimationstart='RUN'>a</p>",
    "<template><script>RUN</script></template><img src='x:' onerror='RUN'>",
    "<img src='cid:x' style='x:&quot;' onerror='RUN'>",
    "<img alt='<script>RUN</script>' src='x:' onerror='RUN'>",
]
FETCHING = [
    "<img src='GET'>",
    "<img srcset='GET 1x'>",
    "<picture><source srcset='GET'><img></picture>",
    "<input type=image src='GET'>",
    "<video poster='GET'></video>",
    "<audio src='GET' preload=auto></audio>",
    "<video><track default src='GET'></video>",
    "<iframe src='GET'></iframe>",
    "<iframe srcdoc='<img src=GET>'></iframe>",
    "<object data='GET'></object>",
    "<embed src='GET'>",
    "<link rel=stylesheet href='GET'>",
    "<link rel=preload as=image href='GET'>",
    "<style>@import 'GET';</style>",
    "<style>body{background:url(GET)}</style>",
    "<p style='background:url(GET)'>a</p>",
    "<p style='background:u\\72l(GET)'>a</p>",
    "<p style='list-style:url(GET);display:list-item'>a</p>",
    "<p style='background:image-set(&quot;GET&quot; 1x)'>a</p>",
    "<p style='border-image:url(GET) 1 / 9px;border-style:solid'>a</p>",
    "<p style='--x:url(GET);background:var(--x)'>a</p>",
    "<table background='GET'><tr><td>a</td></tr></table>",
    "<body background='GET'>",
    "<meta http-equiv=refresh content='0;url=GET'>",
    "<base href='GET'><img src='x'>",
    "<svg><image href='GET'/></svg>",
    "<svg><image xlink:href='GET'/></svg>",
    "<svg><use href='GET#x'/></svg>",
    "<svg><filter id=f><feImage href='GET'/></filter><rect width=9 height=9 filter='url(#f)'/></svg>",
    "<img src='HOST/\\..GETPATH'>",
    "<img src='data:image/svg+xml,x' srcset='GET'>",
    "<img src='\x00 GET'>",
    "<form action='GET'></form><script>document.forms[0].submit()</script>",
]
FORBIDDEN = {"base", "embed", "form", "iframe", "input", "link", "math", "meta", "object", "script", "style", "svg"}
VECTORS = RUNNING + FETCHING

ICON = '<!DOCTYPE html><link rel=icon href="data:,">'  # or it asks for one
# Everything is done with each element that a reader could do, and the HTML is written anew as editors do.
PAGE = """<!DOCTYPE html><meta charset=utf-8><div id=mail>%s</div><script>
const poke = () => {
  for (const element of document.querySelectorAll("#mail *, body")) {
    for (const name of ["mouseover", "focus", "toggle", "animationstart"]) element.dispatchEvent(new Event(name));
    const address = element.getAttribute("href") || element.getAttribute("xlink:href") || "";
    if (element.tagName.toLowerCase() === "button" || /script/i.test(address))
      element.dispatchEvent(new MouseEvent("click", {bubbles: true, cancelable: true}));
  }
};
poke();
const mail = document.getElementById("mail");
if (mail) { const again = document.createElement("div"); again.innerHTML = mail.innerHTML; mail.append(again); }
setTimeout(poke, 100);
</script>"""


class Site:
    """Pages on the loopback device, and a list of everything that was asked for."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        self.asked: list[str] = []
        self.host = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
            self.asked.append(path)
            body = self.pages.get(path, "").encode()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def kinds(self, mode: str) -> set[int]:
        """Which vectors of a page ran or fetched something."""
        found = (re.fullmatch(rf"/(?:ran|got)/{mode}/(\d+).*", path) for path in self.asked)
        return {int(one[1]) for one in found if one}


@asynccontextmanager
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.answer, "127.0.0.1", 0)
    site.host = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield site


async def visit(url: str, folder: Path) -> None:
    """Has a browser load a page and all that it wants, and waits until it ended."""
    browser = await asyncio.create_subprocess_exec(
        BROWSER, *OPTIONS, f"--user-data-dir={folder}", "--virtual-time-budget=3000", "--dump-dom", url,
        stdout=PIPE, stderr=DEVNULL, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(DEADLINE):
            await browser.communicate()
    finally:
        if browser.returncode is None:
            browser.kill()
            await browser.wait()


def vector(site: Site, mode: str, number: int) -> str:
    address = f"{site.host}/got/{mode}/{number}/x"
    script = f"new Image().src=`{site.host}/ran/{mode}/{number}`"
    raw = VECTORS[number].replace("HOST", site.host).replace("GETPATH", f"/got/{mode}/{number}/x")
    return raw.replace("GET", address).replace("RUN", script)


def frames(site: Site, mode: str) -> str:
    """A page with a frame for each vector, so that none can take the others away."""
    for number in range(len(VECTORS)):
        raw = vector(site, mode, number)
        if mode == "safe":
            raw = safe_html(raw).html
        elif mode == "asked":
            raw = safe_html(raw).html.replace(' data-remote-src="', ' src="')
        site.pages[f"/{mode}/{number}"] = PAGE % raw
    page = "".join(f"<iframe src='/{mode}/{number}'></iframe>" for number in range(len(VECTORS)))
    return ICON + page


async def test_nothing_in_a_mail_runs_or_fetches(tmp_path: Path) -> None:
    need(BROWSER)
    async with site() as pages:
        modes = ("unsafe", "safe", "asked")
        for mode in modes:
            pages.pages[f"/{mode}"] = frames(pages, mode)
        pages.pages["/all"] = ICON + "".join(f"<iframe src='/{mode}'></iframe>" for mode in modes)
        await visit(f"{pages.host}/all", tmp_path)
        loaded = set(pages.asked)
        for mode in modes:
            assert {f"/{mode}/{number}" for number in range(len(VECTORS))} <= loaded
        harmful = pages.kinds("unsafe")
        harmless = [VECTORS[number] for number in range(len(VECTORS)) if number not in harmful]
        assert len(harmful) > 0.7 * len(VECTORS), harmless  # or the test would prove nothing
        known = {page for page in pages.pages} | {path for path in pages.asked if "/unsafe/" in path}
        asked = {path for path in pages.asked if path.startswith("/got/asked/")}
        assert {path for path in loaded if path not in known} == asked  # hence nothing is from the safe ones
        assert f"/got/asked/{VECTORS.index(FETCHING[0])}/x" in asked  # images are fetched if one asks for them
        assert not any(path.startswith("/ran/asked/") for path in loaded)


def test_what_a_browser_is_given_holds_no_forbidden_element() -> None:
    for raw in VECTORS:
        raw = raw.replace("RUN", "x").replace("GET", "http://mail.test/").replace("HOST", "http://mail.test")
        tags = re.findall(r"<([a-z]+)((?: [a-z-]+=\"[^\"]*\")*)>", safe_html(raw).html)
        assert not {tag for tag, _ in tags} & FORBIDDEN, raw
        for _, attributes in tags:
            assert not re.search(r' on[a-z]+="|="\s*(?:java|data:)', html.unescape(attributes)), raw
