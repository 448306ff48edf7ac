"""Looks at the built site in headless Chromium, as a reader would: scripts/check_site [--only TEXT] [--screenshots DIR]

Each page is opened from its file and looked at in the widths of a phone and of a desk, in light and dark. It must not be wider
than the window, write nothing on the console, load all that it names, ask no other computer for anything, and have text that
stands out from what is behind it. Then every link of these pages must lead to a file and an anchor that are there, and the search
must find what is there. It prints a table, and ends with code 1 when something is wrong."""
import argparse
import collections
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import sync_playwright

SITE = Path(__file__).resolve().parents[2] / "build/docs"
WIDTHS = {390: 844, 1280: 800}
SCHEMES = ("light", "dark")
API_STEP = 25  # of the pages of the API one of this many is looked at, unless --only names them
PATIENCE = 300e3  # ms: a busy machine is no fault of the site
LEAST_CONTRAST = 4.5  # WCAG 2, level AA

# What a page is, as the browser has it: links, anchors, pictures that did not load.
READ = """() => ({
  links: [...document.querySelectorAll("a[href], area[href]")].map((a) => a.href?.baseVal ?? a.href),
  anchors: [...document.querySelectorAll("[id], a[name]")].flatMap((e) => [e.id, e.getAttribute("name")]).filter(Boolean),
  broken: [...document.images].filter((i) => i.complete && !i.naturalWidth).map((i) => i.src),
})"""
# Where it is too wide, and what sticks out most.
MEASURE = """() => {
  const width = document.scrollingElement.scrollWidth;
  if (width <= innerWidth) return null;
  const out = [...document.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > innerWidth + 1);
  const last = out.at(-1);
  const place = last ? last.tagName.toLowerCase() + "." + last.className + " " + last.textContent.trim().slice(0, 40) : "?";
  return width + " px wide, at " + place;
}"""
# The least contrast (WCAG 2) of a piece of text with what is behind it; pictures are not looked into.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  canvas.canvas.width = canvas.canvas.height = 1;
  const cache = {};
  const rgba = (color) => cache[color] ??= (canvas.clearRect(0, 0, 1, 1), canvas.fillStyle = color, canvas.fillRect(0, 0, 1, 1),
    [...canvas.getImageData(0, 0, 1, 1).data].map((x) => x / 255));
  const over = (a, b) => [0, 1, 2].map((i) => a[i] * a[3] + b[i] * (1 - a[3]));
  const light = (c) => c.slice(0, 3).map((x) => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4)
    .reduce((sum, x, i) => sum + x * [.2126, .7152, .0722][i], 0);
  const grounds = new Map([[null, [1, 1, 1]]]);
  const ground = (e) => {
    if (!grounds.has(e)) grounds.set(e, over(rgba(getComputedStyle(e).backgroundColor), ground(e.parentElement)));
    return grounds.get(e);
  };
  let worst = [99, ""];
  const seen = new Set();
  const walk = document.createTreeWalker(document.querySelector("article") ?? document.body, NodeFilter.SHOW_TEXT);
  for (let node; (node = walk.nextNode());) {
    const e = node.parentElement;
    if (!node.data.trim() || e.closest("svg, .headerlink, script, style")) continue;
    const behind = ground(e), ink = getComputedStyle(e).color, pair = behind + ink;
    if (seen.has(pair) || !e.checkVisibility({opacityProperty: true, visibilityProperty: true})) continue;
    seen.add(pair);
    const [a, b] = [light(over(rgba(ink), behind)), light(behind)].sort((x, y) => y - x), ratio = (a + .05) / (b + .05);
    if (ratio < worst[0]) worst = [ratio, node.data.trim().slice(0, 40)];
  }
  return worst;
}"""


def is_api(page):
    return page.relative_to(SITE).parts[0] == "api"


class Faults:
    def __init__(self):
        self.of_kind = collections.defaultdict(list)

    def add(self, kind, page, what):
        line = f"{page.relative_to(SITE) if page else ''}: {what}"
        if line not in self.of_kind[kind]:
            self.of_kind[kind].append(line)
            print(f"{kind}: {line}", file=sys.stderr, flush=True)  # at once: all pages take minutes


KINDS = ("wider than the window", "message on the console", "failed request", "request to another computer", "broken picture",
         "text hard to see", "dead link", "search")


def look(browser, pages, faults, screenshots):
    """Opens each page; returns its links and anchors."""
    read = {}
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    page = None
    tab.on("console", lambda m: m.type in ("error", "warning") and faults.add("message on the console", page, m.text))
    tab.on("pageerror", lambda e: faults.add("message on the console", page, str(e)))
    tab.on("requestfailed", lambda r: faults.add("failed request", page, f"{r.url} ({r.failure})"))
    tab.on("request", lambda r: urlsplit(r.url).scheme in ("http", "https", "ws", "wss") and
           faults.add("request to another computer", page, r.url))
    for number, page in enumerate(pages, 1):
        if sys.stderr.isatty():
            print(f"\r{number} of {len(pages)} ", end="", file=sys.stderr)
        tab.goto(page.as_uri(), wait_until="load")
        tab.add_style_tag(content="* { transition: none !important }")  # what is measured is where things end up
        read[page] = tab.evaluate(READ)
        for picture in read[page]["broken"]:
            faults.add("broken picture", page, picture)
        for width, height in WIDTHS.items():
            tab.set_viewport_size({"width": width, "height": height})
            for scheme in SCHEMES:
                tab.emulate_media(color_scheme=scheme)
                where = f"at {width} px, {scheme}"
                if too_wide := tab.evaluate(MEASURE):
                    faults.add("wider than the window", page, f"{where}: {too_wide}")
                if width == min(WIDTHS) and not is_api(page):  # the API is turned dark by a filter, which keeps contrast
                    ratio, text = tab.evaluate(CONTRAST)
                    if ratio < LEAST_CONTRAST:
                        faults.add("text hard to see", page, f"{where}: contrast {ratio:.1f} of '{text}'")
                if screenshots:
                    name = "-".join(page.relative_to(SITE).with_suffix("").parts)
                    tab.screenshot(path=screenshots / f"{name}-{width}-{scheme}.png", full_page=width < 1000)
    tab.close()
    return read


def follow(read, faults):
    """Where the links of the pages lead; returns how many there are."""
    anchors = {page: set(what["anchors"]) for page, what in read.items()}
    count = 0
    for page, what in read.items():
        for link in what["links"]:
            parts = urlsplit(link)
            if parts.scheme != "file":
                continue
            count += 1
            target = Path(unquote(parts.path))
            anchor = unquote(parts.fragment)
            if not target.is_file():
                faults.add("dead link", page, link)
            elif anchor and target in anchors and anchor not in anchors[target] and anchor not in ("top", ""):
                faults.add("dead link", page, f"{link}: no such anchor")
    return count


def search(browser, faults):
    """A word of a page and a function of the API must be found."""
    page = SITE / "index.html"
    tab = browser.new_page()
    tab.set_default_timeout(PATIENCE)
    for word, expected in (("stochastic depth", "docs/"), ("squeeze_excite", "api/")):
        tab.goto(page.as_uri() + "?q=" + word.replace(" ", "+"))
        try:
            tab.wait_for_selector(f".md-search-result__link[href*='{expected}']", timeout=PATIENCE / 5, state="attached")
        except Exception:
            faults.add("search", page, f"'{word}' does not find {expected}")
    tab.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="look only at the pages whose path has this text, of the API too: api/")
    parser.add_argument("--screenshots", type=Path, help="put a picture of each page at each width and scheme there")
    arguments = parser.parse_args()
    pages = sorted(p for p in SITE.rglob("*.html") if arguments.only in str(p.relative_to(SITE)))
    if not arguments.only:  # Doxygen made those of the API by a few patterns, and scripts/docs has followed their links
        pages = [p for p in pages if not is_api(p)] + [p for p in pages if is_api(p)][::API_STEP]
    if not pages:
        sys.exit(f"check_site: no page in {SITE} has '{arguments.only}' in its path")
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    faults = Faults()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        read = look(browser, pages, faults, arguments.screenshots)
        links = follow(read, faults)
        search(browser, faults)
        browser.close()
    print(f"{len(pages)} pages at {' and '.join(map(str, WIDTHS))} px, {' and '.join(SCHEMES)}; {links} links\n")
    for kind in KINDS:
        found = faults.of_kind[kind]
        print(f"{kind:30}{len(found):6}")
        for line in found[:20]:
            print(f"    {line}")
    sys.exit(any(faults.of_kind.values()))


main()
