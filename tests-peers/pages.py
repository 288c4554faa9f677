"""A page of the documentation, followed as its reader would: every block of shell and Python from top to bottom, word for word.

What goes on until it is ended (`mainstay serve`, `mainstay wall`, an example's services) is started beside the rest and ends with the page. Every
address of this machine becomes one that is free.
"""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys

from harness import Process, free_port

ROOT = pathlib.Path(__file__).parent.parent
LIMIT_S = 180
FENCE = re.compile(r"^(\s*)(`{3,})([^`]*)$")
SYSTEM = re.compile(r"cargo run -p mainstay --example systems -- serve ([\w-]+)")
SERVICE = re.compile(r":(\d+) ([\w-]+)")


class Block:
    def __init__(self, line: int, language: str, text: str, hints: str):
        self.line, self.language, self.text, self.hints = line, language, text, hints

    def hint(self, words: str) -> str | None:
        found = re.search(rf"(?:^|, ){re.escape(words)}([^,]*)", self.hints)
        return found and found.group(1).strip()


def blocks(page: pathlib.Path) -> list:
    found, hints = [], ""
    lines = iter(enumerate(page.read_text().splitlines(), 1))
    for number, line in lines:
        fence = FENCE.match(line)
        if fence:
            indent, ticks, language = fence.groups()
            inside = []
            for _, line in lines:
                if line.strip() == ticks:
                    break
                inside.append(line.removeprefix(indent))
            found.append(Block(number + 1, language.strip(), "\n".join(inside) + "\n", hints))
            hints = ""
        elif line.strip().startswith("<!-- test:"):
            hints = line.strip().removeprefix("<!-- test:").removesuffix("-->").strip()
        elif line.strip():
            hints = ""
    return found


def commands(text: str) -> list:
    """The commands of a block of shell: lines, as many at a time as the shell needs."""
    found, pending = [], ""
    for line in text.splitlines(keepends=True):
        pending += line
        is_whole = subprocess.run(["bash", "-n"], input=pending, text=True, capture_output=True).returncode == 0
        if is_whole and not pending.rstrip("\n").endswith("\\"):
            if pending.split("#")[0].strip():
                found.append(pending)
            pending = ""
    assert not pending.strip(), f"no shell: {pending}"
    return found


class Reader:
    """Follows a page in a folder of its own, in which the project's files can be found."""

    def __init__(self, page: str, directory: pathlib.Path):
        self.page, self.directory = page, directory
        self.ports, self.running = {}, []
        self.tools = directory / ".bin"
        self.tools.mkdir(parents=True)
        self.said = ""
        for name in ("docs", "examples", "python"):
            (directory / name).symlink_to(ROOT / name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.running):
            process.stop()

    def moved(self, text: str) -> str:
        def free(found):
            port = int(found.group(1))
            # What was moved stays where it is.
            return "127.0.0.1:" + str(port if port in self.ports.values() else self.ports.setdefault(port, free_port()))

        return re.sub(r"127\.0\.0\.1:(\d+)", free, text)

    def url(self, port: int) -> str:
        return "http://" + self.moved(f"127.0.0.1:{port}")

    def tool(self, name: str, script: str):
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def environment(self) -> dict:
        """`mainstay` asks the page's server, `pkill` knows the page's servers and no others, and not the page's wall."""
        self.tool("mainstay", f'exec "$MAINSTAY_BIN" --url "{self.url(8090)}" "$@"')
        serving = [process.child.pid for process in self.running if process.log.name.startswith("serve")]
        self.tool("pkill", f'test "$*" = "-HUP -f mainstay serve" && kill -HUP {" ".join(map(str, serving))}')
        path = f"{self.tools}:{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "MAINSTAY_URL": self.url(8090)}

    def follow(self, wanted=lambda block: True):
        """Runs the blocks that are wanted; the others are only read for the files that they give."""
        for block in blocks(ROOT / self.page):
            name = block.hint("file ")
            if name:
                (self.directory / name).write_text(self.moved(block.text))
            elif wanted(block) and block.hint("not run:") is None:
                self.run(block)

    def run(self, block: Block):
        place = f"{self.page}:{block.line}"
        said = ""
        if block.language == "python":
            said = self.finished([sys.executable, "-c", self.moved(block.text)], place)
        elif block.language == "sh":
            for command in commands(block.text):
                said += self.shell(command, place)
        self.said += said
        for shown in re.findall(r"(?:^|, )shows ([^,]+)", block.hints):
            assert shown.strip() in said, f"{place} does not show {shown!r}:\n{said}"

    def shell(self, command: str, place: str) -> str:
        system = SYSTEM.search(command)
        if system:
            for port, service in SERVICE.findall(command):
                self.beside(
                    [os.environ["MAINSTAY_SYSTEMS_BIN"], "serve", system.group(1), service, "--port", self.url(port).rsplit(":")[-1]],
                    f"{service}.log",
                    f"{self.url(port)}/",
                )
            return ""
        words = command.split("#")[0].split()
        if words == ["mainstay", "serve"]:
            config = self.directory / "mainstay.yaml"
            config.write_text(self.moved(config.read_text()))
            self.beside([os.environ["MAINSTAY_BIN"], "serve", "--log", "warn"], "serve.log", f"{self.url(8090)}/readyz")
            return ""
        if words[:3] == ["mainstay", "wall", "--listen"]:
            listen = self.moved(words[3])
            self.beside([os.environ["MAINSTAY_BIN"], "wall", "--listen", listen], "wall.log", f"http://{listen}/wall/attempts")
            return ""
        folder = re.match(r"cd (examples/\S+) && (.*)", command, re.DOTALL)
        if folder:
            self.stand_in(ROOT / folder.group(1))
            command = folder.group(2)
        return self.finished(["bash", "-ec", self.moved(command)], place)

    def stand_in(self, folder: pathlib.Path):
        """Has the files of a folder of the project, to be changed as the page says."""
        shutil.copytree(folder, self.directory, dirs_exist_ok=True, copy_function=shutil.copyfile)

    def beside(self, command: list, log: str, url: str):
        process = Process(command, self.directory / log, cwd=self.directory)
        self.running.append(process)
        process.wait_until(url, holds=lambda answer: answer.status < 500)

    def finished(self, command: list, place: str) -> str:
        done = subprocess.run(command, cwd=self.directory, env=self.environment(), capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 0, f"{place}: {command[-1]} ended with {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr
