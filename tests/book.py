"""The documents as a book. docs/SUMMARY.md names its chapters; tests/book.sh builds it.

    book.py missing FILE ...      which of these documents are no chapter
    book.py pages DIRECTORY       puts the chapters there as they lie in the project, and the files that they show or link to
    book.py links DIRECTORY       which links of a book that was built lead nowhere

What must always hold here: a page is as it stands in the project; nothing is written but in the directory that is named.
"""

import os
import re
import shutil
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

from docs import prose_of

SUMMARY = "docs/SUMMARY.md"
LINK = re.compile(r"\]\(([^)\s#]+)(#[^)\s]*)?\)")


def targets_of(path):
    """The files and directories that a document links to, as paths in the project."""
    for link, _ in LINK.findall("\n".join(prose_of(path))):
        if not re.match(r"\w+:", link):
            yield os.path.normpath(os.path.join(os.path.dirname(path), link))


def missing(documents):
    chapters = set(targets_of(SUMMARY))
    return [f"{path} is no chapter of {SUMMARY}" for path in documents if path not in chapters | {SUMMARY}]


def pages(into):
    chapters = set(targets_of(SUMMARY))
    shown = {target for chapter in chapters for target in targets_of(chapter) if os.path.isfile(target)}
    for path in chapters | shown:
        os.makedirs(os.path.join(into, os.path.dirname(path)), exist_ok=True)
        shutil.copyfile(path, os.path.join(into, path))

    def from_the_top(link):
        return f"]({os.path.normpath(os.path.join(os.path.dirname(SUMMARY), link[1]))})"

    with open(f"{into}/SUMMARY.md", "w") as summary:
        summary.write(LINK.sub(from_the_top, open(SUMMARY).read()))


class Page(HTMLParser):
    """What a page links to, and the names of its places."""

    def __init__(self, path):
        super().__init__()
        self.links, self.names = [], set()
        self.feed(open(path).read())

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self.links += [attributes[name] for name in ("href", "src") if attributes.get(name)]


def dead(book):
    paths = [os.path.join(folder, name) for folder, _, names in os.walk(book) for name in names if name.endswith(".html")]
    read = {path: Page(path) for path in paths}
    for path, page in sorted(read.items()):
        for link in page.links:
            link, _, anchor = unquote(link).partition("#")
            target = os.path.normpath(os.path.join(os.path.dirname(path), link)) if link else path
            if re.match(r"\w+:", link) or path.endswith(("404.html", "print.html")):
                continue
            if not os.path.exists(target) or anchor and target in read and anchor not in read[target].names:
                yield f"{path}: {link}{'#' * bool(anchor)}{anchor} leads nowhere"


if __name__ == "__main__":
    action, *rest = sys.argv[1:]
    if action == "pages":
        pages(*rest)
        sys.exit()
    wrong = missing(rest) if action == "missing" else list(dead(*rest))
    print("\n".join(wrong), end="\n" if wrong else "")
    sys.exit(1 if wrong else 0)
