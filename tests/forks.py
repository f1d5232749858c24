"""Commands forked from a process that has imported everything, as starting Python and torch is most of what they take.

`serving` makes a folder with the programs `python`, `facerec` and `dvc` for the front of a PATH. Each has its arguments,
folder, environment and standard streams carried out by a fork of the server, and ends with its exit code. `python` does
so for `-m stages.NAME` and is the real one otherwise. A fork is in the server's process group, so tests of Ctrl-C and of
kill -9 start real processes, as does `make repro`.
"""

from __future__ import annotations

import marshal
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path

from tests.conftest import ROOT

PRELOADED = (
    "stages.common", "facerec.cli", "facerec.core", "facerec.training", "facerec.recognition.recogniser", "torch._dynamo",
    "torch.onnx", "cv2", "pyarrow.parquet", "pyarrow.dataset", "onnx", "onnxruntime", "numba", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "rich.progress", "typer.rich_utils", "jinja2",
    "markdown_it", "dvc.cli", "dvc.cli.parser", "dvc.repo", "dvc.repo.reproduce", "dvc.repo.experiments", "dvc_data.index",
    "facerec.evaluation.identification.engines", "synthfaces.render",
)  # fmt: skip
CLIENT = """\
#!{python} -IS
import marshal, os, signal, socket, sys

program, words = {program!r}, sys.argv[1:]
if program == "python" and not (words[:1] == ["-m"] and words[1:2] and words[1].startswith("stages.")):
    os.execv({python!r}, [{python!r}, *words])
with socket.socket(socket.AF_UNIX) as server:
    server.connect({address!r})
    order = marshal.dumps((program, words, os.getcwd(), dict(os.environ)))
    socket.send_fds(server, [len(order).to_bytes(4, "big")], [0, 1, 2])
    server.sendall(order)
    child = int.from_bytes(server.recv(4), "big")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: os.kill(child, number))
    sys.exit(int.from_bytes(server.recv(1) or b"\\x01", "big"))
"""


@contextmanager
def serving() -> Iterator[str]:
    """Serve in the block; yields the folder of the programs."""
    with tempfile.TemporaryDirectory() as folder:
        address = f"{folder}/socket"
        for program in ("python", "facerec", "dvc"):
            script = Path(folder, program)
            script.write_text(CLIENT.format(python=sys.executable, program=program, address=address))
            script.chmod(0o755)
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
        with subprocess.Popen(
            [sys.executable, "-m", "tests.forks", address], env=environment, stdout=subprocess.PIPE, cwd=ROOT
        ) as server:
            assert server.stdout is not None
            assert server.stdout.readline() == b"ready\n"
            try:
                yield folder
            finally:
                server.terminate()


def serve(address: str) -> None:
    """Fork for every order that arrives."""
    for name in PRELOADED:
        import_module(name)
    for script in sorted((ROOT / "stages").glob("[a-z]*.py")):
        if script.stem != "common":
            import_module(f"stages.{script.stem}")
            del sys.modules[f"stages.{script.stem}"]  # it runs as __main__
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen()
        os.write(1, b"ready\n")
        listening.settimeout(2)
        tests = os.getppid()
        while os.getppid() == tests:  # which may be killed
            try:
                client, _ = listening.accept()
            except TimeoutError:
                continue
            if os.fork() == 0:
                listening.close()
                answer(client)
                os._exit(0)
            client.close()
            with suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:  # those that have answered
                    pass


def answer(client: socket.socket) -> None:
    """Carry out one order in a child and tell its exit code."""
    length, streams, _, _ = socket.recv_fds(client, 4, 3)
    with client.makefile("rb") as file:
        program, words, folder, environment = marshal.loads(file.read(int.from_bytes(length, "big")))
    child = os.fork()
    if child == 0:
        client.close()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)
        os._exit(carry_out(program, words))
    for stream in streams:
        os.close(stream)
    with suppress(BrokenPipeError):
        client.sendall(child.to_bytes(4, "big"))
        client.sendall((os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) % 256).to_bytes(1, "big"))


def carry_out(program: str, words: list[str]) -> int:
    """The exit code of a program."""
    sys.argv = [program, *words]
    code: object = 0
    try:
        if program == "python":
            sys.argv = words[1:]
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        else:
            code = import_module({"facerec": "facerec.cli", "dvc": "dvc.cli"}[program]).main()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else int(code is not None)


if __name__ == "__main__":
    serve(sys.argv[1])
