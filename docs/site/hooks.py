"""What MkDocs does with the pages of the tree for the site (docs/site/mkdocs.yml), beyond turning Markdown into HTML.

- The pages and their images come from where they are in the tree.
- A file of code that a page links to gets a page of its own, source/<path>.html, with a number at each line.
- The page of a lesson or a ladder shows its program, and an excerpt the file and line that it comes from.
- docs/api.md lists the API's headers from Doxygen's tag file, and the search finds their classes and functions.
- With FOVEA_PDF in the environment all pages in a row are print.html, for `scripts/docs --pdf`.
"""
import html
import json
import os
import posixpath
import re
import xml.etree.ElementTree as xml
from pathlib import Path

from mkdocs.plugins import event_priority
from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parents[2]
TAGS = ROOT / "build/site/api.tag"
PAGES = ["*.md", "docs/*.md", "bench/*.md", "bench/results/*.md", "cuda/sim/*.md", "examples/*.md", "examples/*/*.md",
         "exercises/README.md", "exercises/[0-9]*/README.md"]
IMAGES = (".svg", ".jpg", ".png")
LANGUAGES = {".h": "cpp", ".cpp": "cpp", ".cu": "cpp", ".py": "python", ".cmake": "cmake", ".json": "json"}

LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=[^)]*\))")
EXCERPT = re.compile(r'^( *)<!-- excerpt: (\S+) "([^"]+)".*-->$', re.M)
FENCE = re.compile(r"^ *```")

contents = {}  # for the PDF: the HTML of each page, by its path in the site
chapters = []  # (path, title) of those that it has, in their order


def outside_code(text, change):
    """The text with change(line) for each line that is not in a block of code."""
    quoted = False
    lines = []
    for line in text.split("\n"):
        fence = FENCE.match(line)
        lines.append(line if quoted or fence else change(line))
        quoted ^= bool(fence)
    return "\n".join(lines)


def linked_file(page, link):
    """The path in the tree of the file that a page links to, None for other links."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(page), link.split("#")[0]))
    return path if "://" not in link and not path.startswith("..") and (ROOT / path).is_file() else None


def programs(page):
    """The sources of the lesson or the ladder that a page is about."""
    if page.startswith("examples/ladders/") and (ROOT / page).with_suffix(".cu").exists():
        return [page.removesuffix(".md") + ".cu"]
    if not re.fullmatch(r"examples/\d.*/README.md", page):
        return []
    folder = (ROOT / page).parent
    files = [*folder.glob("*.h"), *folder.glob("*.c*")]
    return sorted((f.relative_to(ROOT).as_posix() for f in files), key=lambda path: ("main." in path, path))


def source_page(path):
    return f"source/{path}.md"


def to_source(page, path, line=None):
    """The link from a page to a line of a file's page."""
    target = posixpath.relpath(source_page(path)[:-3] + ".html", posixpath.dirname(page) or ".")
    return target + (f"#__span-0-{line}" if line else "")


def code_block(path, options=""):
    text = (ROOT / path).read_text()
    language = LANGUAGES.get(Path(path).suffix, "bash" if text.startswith("#!") else "text")
    return f"``````{{ .{language} {options} }}\n{text}\n``````\n"


def on_files(files, config):
    sources = set()
    for pattern in PAGES:
        for file in sorted(ROOT.glob(pattern)):
            page = file.relative_to(ROOT).as_posix()
            text = file.read_text()
            files.append(File.generated(config, page, abs_src_path=str(file)))
            linked = {linked_file(page, link) for link in LINK.findall(text)} - {None}
            sources |= linked | {path for _, path, _ in EXCERPT.findall(text)} | set(programs(page))
    for path in sorted(sources):
        if path.endswith(IMAGES):
            files.append(File.generated(config, path, abs_src_path=str(ROOT / path)))
        elif not path.endswith(".md"):
            head = f"---\ntitle: {path}\nsearch: {{exclude: true}}\nhide: [toc]\n---\n# `{path}`\n\n"
            if path in api_pages():
                reference = posixpath.relpath(api_pages()[path], "source/" + posixpath.dirname(path))
                head += f"[Its page in the API reference]({reference})\n\n"
            files.append(File.generated(config, source_page(path), content=head + code_block(path, 'linenums="1"')))
    for asset in ("style.css", "color-scheme.js", "iframe-worker.js"):
        files.append(File.generated(config, asset, abs_src_path=str(ROOT / "docs/site" / asset)))
    return files


def as_python_markdown(text):
    """GitHub's Markdown as Python-Markdown reads it: what is inside a list is indented by four spaces for each level, and an
    empty line stands before a list and after a block of code in one."""
    open_items = []  # the indentation of the text of each list item that is open
    lines = []
    quoted = False
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        item = None if quoted else re.match(r" *([-*]|\d+\.) +", line)
        if line.strip() and not quoted:
            while open_items and indent < open_items[-1]:
                open_items.pop()
            follows_text = lines and lines[-1].strip() and not open_items and not re.match(r" *([-*]|\d+\.) |    ", lines[-1])
            if item and (follows_text or lines and FENCE.match(lines[-1])):
                lines.append("")
        depth, base = 4 * len(open_items), open_items[-1] if open_items else 0
        lines.append(" " * (depth + max(0, indent - base)) + line.lstrip() if line.strip() else "")
        if item:
            open_items.append(item.end())
        quoted ^= bool(FENCE.match(line))
    return "\n".join(lines)


def on_page_markdown(markdown, page, config, files):
    uri = page.file.src_uri
    if uri.startswith("source/"):
        return markdown

    def links_to_sources(line):
        def replaced(link):
            path = linked_file(uri, link[0])
            if path is None or path.endswith((".md", *IMAGES)):
                return link[0]
            line = re.search(r"#L(\d+)", link[0])
            return to_source(uri, path, line and line[1])

        return LINK.sub(replaced, line)

    def caption(match):
        indent, path, text = match.groups()
        lines = (ROOT / path).read_text().split("\n")
        line = next(i for i, source in enumerate(lines, 1) if text in source)
        return f'\n{indent}[{path}:{line}]({to_source(uri, path, line)}){{ .excerpt }}\n'

    markdown = outside_code(markdown, links_to_sources)
    markdown = as_python_markdown(EXCERPT.sub(caption, markdown))
    if programs(uri):
        shown = "".join(f"[{p}]({to_source(uri, p)}){{ .excerpt }}\n\n{code_block(p)}\n" for p in programs(uri))
        body, end = markdown.rstrip().rsplit("\n\n", 1)  # the last line leads to the next page
        markdown = f"{body}\n\n## The program\n\n{shown}\n{end}\n"
    if uri == "docs/api.md":
        markdown += api_list()
    return markdown


def on_page_content(content, page, config, files):
    contents[page.url] = content
    return content


def on_env(env, config, files):
    pages = [file.page for file in files.documentation_pages() if file.page]
    listed = [page for page in pages if page.previous_page or page.next_page]
    page = next(page for page in listed if not page.previous_page)
    while page:
        if page.file.src_uri != "docs/api.md":
            chapters.append((page.url, page.title))
        page = page.next_page


# ---- the API


def api_files():
    """Of each header: its path, its page, and (name, link, whether a class) of what it declares."""
    tags = xml.parse(TAGS).getroot()
    classes = {c.findtext("name"): c.findtext("filename") for c in tags if c.get("kind") in ("class", "struct")}
    for file in tags:
        if file.get("kind") != "file" or not file.findtext("name").endswith(".h"):
            continue
        path = (file.findtext("path") or "").removeprefix(str(ROOT)).strip("/")
        declared = {}
        for name in (c.text for c in file.findall("class")):
            if name in classes and "<" not in name:
                declared.setdefault(name.removeprefix("fovea::"), (classes[name], True))
        for member in file.findall("member"):
            link = f"{member.findtext('anchorfile')}#{member.findtext('anchor')}"
            if member.get("kind") in ("function", "enumeration", "typedef") and member.findtext("name").isidentifier():
                declared.setdefault(member.findtext("name"), (link, False))
        page = file.findtext("filename")
        page += "" if page.endswith(".html") else ".html"
        links = {name: ("api/" + link, is_class) for name, (link, is_class) in declared.items()}
        yield (f"{path}/" if path else "") + file.findtext("name"), "api/" + page, links


def api_pages():
    if not hasattr(api_pages, "pages"):
        api_pages.pages = {path: page for path, page, _ in api_files()}
    return api_pages.pages


def api_list():
    folders = {}
    for path, page, declared in api_files():
        folders.setdefault(posixpath.dirname(path), []).append((path, page, declared))
    order = ["core", "cuda", "ops", "nn", "models", "train", "cli"]
    text = "\n[The full reference](../api/index.html)\n"
    for folder in sorted(folders, key=lambda f: (order.index(f.split("/")[0]) if f.split("/")[0] in order else 9, f)):
        text += f"\n## {folder or 'All of it'}\n\n| header | declares |\n|---|---|\n"
        for path, page, declared in sorted(folders[folder]):
            names = ", ".join(f"[`{name}`](../{link})" for name, (link, _) in declared.items())
            text += f"| [`{posixpath.basename(path)}`](../{page}) | {names} |\n"
    return text


@event_priority(-50)  # after the search has written its index, before `offline` makes a script of it
def on_post_build(config):
    index_file = Path(config.site_dir, "search/search_index.json")
    index = json.loads(index_file.read_text())
    for path, page, declared in api_files():
        index["docs"].append({"location": page, "title": path, "text": "Header, in the API reference"})
        for name, (link, is_class) in declared.items():
            text = f"{'class, ' if is_class else ''}declared in {path}"
            index["docs"].append({"location": link, "title": name, "text": text})
    index_file.write_text(json.dumps(index))
    Path(config.site_dir, "404.html").unlink(missing_ok=True)  # its links are those of a server at the root
    if os.environ.get("FOVEA_PDF"):
        Path(config.site_dir, "print.html").write_text(one_page(config))


# ---- the one page for the PDF


def one_page(config):
    names = {url: "page-" + re.sub(r"\W+", "-", url.removesuffix(".html")) for url, _ in chapters}
    body = ""
    for url, title in chapters:
        def link(match, url=url):
            target, anchor = (html.unescape(match[1]).split("#") + [""])[:2]
            if "://" in target:
                return match[0]
            path = posixpath.normpath(posixpath.join(posixpath.dirname(url), target)) if target else url
            if path not in names:
                return ""  # sources and the API are not in the file
            return f'href="#{names[path]}{"--" + anchor if anchor else ""}"'

        def image(match, url=url):
            return f'src="{posixpath.normpath(posixpath.join(posixpath.dirname(url), match[1]))}"'

        content = re.sub(r'href="([^"]*)"', link, contents[url])
        content = re.sub(r'\bid="', f'id="{names[url]}--', content)
        content = re.sub(r'src="([^":]+)"', image, content)
        body += f'<section id="{names[url]}">{content}</section>\n'
    entries = "".join(f'<li><a href="#{names[url]}">{html.escape(title)}</a></li>' for url, title in chapters)
    styles = sorted(Path(config.site_dir, "assets/stylesheets").glob("*.css"))
    sheets = "".join(f'<link rel="stylesheet" href="assets/stylesheets/{sheet.name}">' for sheet in styles)
    return (f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Fovea</title>{sheets}'
            '<link rel="stylesheet" href="style.css"></head>'
            '<body dir="ltr" class="in-print" data-md-color-scheme="default" data-md-color-primary="blue-grey">'
            '<article class="md-typeset">'
            f'<section class="contents"><p class="name">Fovea</p><ol>{entries}</ol></section>{body}</article></body></html>\n')
