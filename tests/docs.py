"""Runs the SQL and the shell of one document, and compares what they print with what the document says.

    docs.py sites FILE                          the servers that it needs, a line each: site NAME, or server NAME
    docs.py run FILE HOME [--accept | --show]   runs it on servers that are there; HOME/NAME/port is where each listens
    docs.py links FILE ...                      says which links between files lead nowhere

tests/docs.sh calls it; docs/contributing.md tells the conventions. What must always hold here: a block of SQL or shell is
run, or it says why not; what is compared is all that it printed.
"""

import difflib
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

RUNNABLE = {"sql", "sh", "bash", "shell", "console"}
DIRECTIVE = re.compile(r"<!--\s*(site|server|not run|setup|setup-sh|wait):\s*(.*?)\s*-->", re.S)
FENCE = re.compile(r"^( *)```+(.*)$")
BLOCK_SECONDS = 60
MARK = "\x01"

# What differs from run to run. The rest must be as it stands.
MASKS = [
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z-[0-9a-f]{4}\b"), "STAMP"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?([+-]\d\d(:\d\d)?|Z)?"), "TIME"),
    (re.compile(r"-?\b\d\d:\d\d:\d\d(\.\d+)?\b"), "DURATION"),
    (re.compile(r"\b[0-9a-f]{12}(-\d+)?\b"), "LANE"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "CHAIN"),
    (re.compile(r"@[\w.:%]+/shop\b"), "@HOST/shop"),
    (re.compile(r"-{2,}"), "--"),
    (re.compile(r" {2,}"), " "),
]
# An id of which only the beginning stands there.
SHORTENED = re.compile(r"\b[0-9a-f]+-?…")
# A function that returns nothing prints a table of nothing.
VOID = re.compile(r"^ *\w+ *\n-+\n *\n\(1 row\)\n\n?", re.M)


@dataclass
class Step:
    kind: str
    text: str
    line: int
    indent: int = 0
    # Of the block with the output: its first line, and the one after its last, counted from 0. Of console, its own.
    expected: tuple = None


def steps_of(lines):
    """The steps of a document, in order; and what is wrong with it."""
    steps, wrong, at, not_run = [], [], 0, False
    while at < len(lines):
        if lines[at].lstrip().startswith("<!--"):
            end = at
            while "-->" not in lines[end] and end + 1 < len(lines):
                end += 1
            found = DIRECTIVE.match("\n".join(lines[at : end + 1]).strip())
            if found and found[1] == "not run":
                not_run = True
            elif found:
                steps.append(Step(found[1], found[2], at + 1))
            at = end + 1
            continue
        fence = FENCE.match(lines[at])
        if not fence:
            not_run = not_run and not lines[at].strip()
            at += 1
            continue
        indent, language = len(fence[1]), fence[2].strip()
        begin = end = at + 1
        while end < len(lines) and lines[end].strip() != "```":
            end += 1
        if language in RUNNABLE and not not_run:
            text = "\n".join(line[indent:] for line in lines[begin:end])
            step = Step(language if language in ("sql", "console") else "sh", text, at + 1, indent)
            steps.append(step)
            if language == "console":
                step.expected = (begin, end)
        elif language == "text" and steps and steps[-1].kind in ("sql", "sh") and steps[-1].expected is None:
            # Only if nothing stands between the two but blank lines.
            above = at - 1
            while above >= 0 and not lines[above].strip():
                above -= 1
            if lines[above].strip() == "```" and steps[-1].line == opening_of(lines, above):
                steps[-1].expected = (begin, end)
        elif language.split(",")[0].lower() in ("psql", "postgresql", "pgsql"):
            wrong.append(f"{at + 1}: a block of {language}: say sql")
        not_run = False
        at = end + 1
    return steps, wrong


def opening_of(lines, closing):
    """The number, from 1, of the line that opens the block which ends there."""
    at = closing - 1
    while at >= 0 and not FENCE.match(lines[at]):
        at -= 1
    return at + 1


def masked(text):
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    text = "\n".join(lines)
    for pattern, word in MASKS:
        text = pattern.sub(word, text)
    return text.strip()


def fits(expected, actual):
    """Whether it is what is expected; there … stands for anything in a line, alone in a line for any lines."""
    pattern = []
    for line in masked(expected).splitlines():
        line = SHORTENED.sub("…", line)
        if line.strip() == "…":
            pattern.append(r"(?:.*\n)*?")
        else:
            pattern.append(".*".join(re.escape(part) for part in line.split("…")) + r"\n")
    return re.fullmatch("".join(pattern), masked(actual) + "\n" if masked(actual) else "") is not None


class Sites:
    """The servers of a document, and the names that stand for them in it."""

    def __init__(self, home, work, names):
        self.home, self.now = home, names[0]
        self.port = {name: open(f"{home}/{name}/port").read().strip() for name in names}
        self.work = work
        os.mkdir(f"{work}/stick")
        os.chmod(self.work, 0o777)
        os.chmod(f"{self.work}/stick", 0o777)

    def really(self, text):
        for name, port in self.port.items():
            text = text.replace(f"{name}.example", f"127.0.0.1:{port}")
        text = text.replace("@localhost/", f"@127.0.0.1:{self.port[self.now]}/")
        # The servers here have no certificates.
        return text.replace("sslmode=require", "sslmode=prefer").replace("/media/stick", f"{self.work}/stick")

    def as_written(self, text):
        for name, port in self.port.items():
            text = text.replace(f"127.0.0.1:{port}", f"{name}.example")
        return text.replace("sslmode=prefer", "sslmode=require").replace(f"{self.work}/stick", "/media/stick")

    def run(self, command, text):
        environment = dict(os.environ, PGHOST=f"{self.home}/{self.now}", PGPORT=self.port[self.now], PGUSER="postgres")
        environment.update(PGDATABASE="shop", PSQLRC="/dev/null", PSQL_PAGER="", PGTZ="UTC", LC_ALL="C.UTF-8")
        environment["PATH"] = f"{self.home}/{self.now}/tree/bin:{os.environ['PATH']}"
        for name in ("GUNDB_STORE", "RUST_BACKTRACE", "PGOPTIONS"):
            environment.pop(name, None)
        # In a session of its own, so that all that a block has begun ends with it.
        process = subprocess.Popen(command, env=environment, cwd=self.work, text=True, start_new_session=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        try:
            printed, _ = process.communicate(self.really(text), timeout=BLOCK_SECONDS)
        finally:
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        return process.returncode, VOID.sub("", self.as_written(printed))

    def sql(self, text):
        status, printed = self.run(["psql", "-X", "-q"], text + "\n")
        failed = status != 0 or re.search(r"^(ERROR|FATAL):", printed, re.M)
        return failed, printed

    def wait(self, text):
        """Asks until the last line of the answer is t."""
        until = time.monotonic() + BLOCK_SECONDS
        while True:
            _, printed = self.run(["psql", "-X", "-q", "-At"], text + ";\n")
            is_so = printed.rstrip().endswith("t") and "ERROR" not in printed
            if is_so or time.monotonic() > until:
                return not is_so, printed
            time.sleep(0.1)

    def sh(self, text):
        return self.run(["bash", "-e", "-o", "pipefail", "-s"], text + "\n")

    def console(self, text):
        """What a terminal would show: each command, and what it printed."""
        commands = []
        for line in text.splitlines():
            if line.startswith("$ "):
                commands.append(line)
            elif commands and commands[-1].endswith("\\"):
                commands[-1] += "\n" + line
        script = "".join(f"printf '{MARK}\\n'\n{command[2:]}\n" for command in commands)
        status, printed = self.run(["bash", "-s"], script)
        parts = printed.split(MARK + "\n")[1:]
        shown = "".join(f"{command}\n{part.rstrip()}\n" if part.strip() else f"{command}\n"
                        for command, part in zip(commands, parts))
        return len(parts) < len(commands), shown


def run(path, home, mode):
    # On the disk: an edge node's store in memory would be taken for a copy each time that it is opened.
    with tempfile.TemporaryDirectory(prefix="gundb.", dir="/tmp") as work:
        if os.path.relpath(path).startswith("examples/"):
            shutil.copytree(os.path.dirname(path), work, dirs_exist_ok=True)
        return run_in(work, path, home, mode)


def run_in(work, path, home, mode):
    lines = open(path).read().split("\n")
    steps, wrong = steps_of(lines)
    names = [name for _, name in sites_of(steps)]
    sites, replace, shown = Sites(home, work, names), [], 0
    for step in steps:
        if step.kind in ("site", "server"):
            sites.now = step.text
            continue
        kind = {"setup": "sql", "setup-sh": "sh"}.get(step.kind, step.kind)
        try:
            failed, printed = getattr(sites, kind)(step.text)
        except subprocess.TimeoutExpired:
            wrong.append(f"{step.line}: takes more than {BLOCK_SECONDS} seconds")
            break
        if mode == "--show" and step.kind in ("sql", "sh", "console"):
            show(sites.now, step, printed, lines[shown : step.line])
            shown = step.line
        if step.expected is None:
            if failed:
                wrong.append(f"{step.line}: fails:\n{printed}")
            continue
        begin, end = step.expected
        expected = "\n".join(line[step.indent :] for line in lines[begin:end])
        if fits(expected, printed):
            continue
        if mode == "--accept":
            new = [" " * step.indent + line.rstrip() if line.strip() else "" for line in printed.strip("\n").split("\n")]
            replace.append((begin, end, new))
        else:
            difference = difflib.unified_diff(expected.splitlines(), [line.rstrip() for line in printed.strip("\n").split("\n")],
                                              "in the document", "printed", lineterm="")
            wrong.append(f"{step.line}: prints something else:\n" + "\n".join(difference))
    for begin, end, new in reversed(replace):
        lines[begin:end] = new
    if replace:
        open(path, "w").write("\n".join(lines))
        print(f"{path}: {len(replace)} outputs are new; read the difference")
    for what in wrong:
        print(f"{path}:{what}")
    return 1 if wrong else 0


def show(site, step, printed, above):
    """What a block says and prints, as it goes, under the headings above it."""
    bold, plain = ("\x1b[1m", "\x1b[0m") if sys.stdout.isatty() else ("", "")
    print("".join(f"{line}\n\n" for line in above if line.startswith("## ")), end="")
    if step.kind != "console":
        print("".join(f"{site}> {bold}{line}{plain}\n" for line in step.text.splitlines()))
    print(printed, flush=True)


def sites_of(steps):
    """What a document needs; one without a word about it gets a site named paris."""
    found = []
    for step in steps:
        if step.kind in ("site", "server"):
            if step.text not in [name for _, name in found]:
                found.append((step.kind, step.text))
        elif not found:
            found.append(("site", "paris"))
    return found


def prose_of(path):
    """Its lines outside of blocks."""
    inside = False
    for line in open(path).read().split("\n"):
        if line.lstrip().startswith("```"):
            inside = not inside
        elif not inside:
            yield line


def anchors_of(path):
    """As GitHub makes them of headings."""
    titles = [line.lstrip("#").strip() for line in prose_of(path) if re.match(r"#+ ", line)]
    return {re.sub(r"[^\w\- ]", "", re.sub(r"\[(.*?)\]\(.*?\)", r"\1", title).lower()).replace(" ", "-") for title in titles}


def dead_links(path):
    for link in re.findall(r"\]\(([^)\s]+)\)", "\n".join(prose_of(path))):
        if re.match(r"\w+:", link):
            continue
        target, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(path), target)) if target else path
        if not os.path.exists(target) or anchor and anchor not in anchors_of(target):
            yield f"{path}: {link} leads nowhere"


if __name__ == "__main__":
    action, file = sys.argv[1:3]
    if action == "links":
        dead = [what for path in sys.argv[2:] for what in dead_links(path)]
        print("\n".join(dead), end="\n" if dead else "")
        sys.exit(1 if dead else 0)
    elif action == "sites":
        for kind, name in sites_of(steps_of(open(file).read().split("\n"))[0]):
            print(kind, name)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        sys.exit(run(file, sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None))
