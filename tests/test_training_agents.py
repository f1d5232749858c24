"""Training on two machines, for which two torchrun agents on this one stand in: one is killed, both start again."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from torch.distributed import DistError, run
from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError

from facerec.distributed import launching
from tests.conftest import ROOT
from tests.models import write_set

TRAIN = {"epochs": 8, "batch": 8, "backbone": {"name": "mobilefacenet", "dim": 16, "width": 0.125}}


class Machines:
    """Two folders, as of two machines, that share only the faces, the scratch folder and the place of the result."""

    def __init__(self, folder: Path) -> None:
        self.shared = folder / "shared"
        self.hosts = [folder / "first", folder / "second"]
        write_set(self.shared / "faces", range(8), photos=4)
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params["train"] |= TRAIN
        for host in self.hosts:
            host.mkdir()
            (host / "params.yaml").write_text(yaml.safe_dump(params))

    def start(self, out: str) -> list[subprocess.Popen[str]]:
        """`facerec train` on both, with a new meeting place."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            endpoint = f"127.0.0.1:{free.getsockname()[1]}"
        settings = {
            "FACEREC_TORCHRUN": f"--nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-endpoint {endpoint}",
            "FACEREC_DEVICE": "cpu",
            "FACEREC_SCRATCH": str(self.shared / "scratch"),
            "FACEREC_CHECKPOINT_SECONDS": "0",
            "PYTHONPATH": str(ROOT),
        }
        command = [sys.executable, "-m", "facerec", "train", str(self.shared / "faces"), "--json", "--out"]
        return [
            subprocess.Popen(
                [*command, str(self.shared / out)], cwd=host, env={**os.environ, **settings}, text=True,
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )
            for host in self.hosts
        ]  # fmt: skip

    def checkpoints(self) -> list[Path]:
        return list((self.shared / "scratch/train").glob("*/*.pt"))


def finish(agents: list[subprocess.Popen[str]]) -> tuple[list[str], list[str]]:
    """What both said on standard output, and on standard error."""
    answers = [agent.communicate(timeout=300) for agent in agents]
    assert [agent.returncode for agent in agents] == [0, 0], answers
    return [said for said, _ in answers], [errors for _, errors in answers]


@pytest.mark.parametrize("error", [DistError, RendezvousConnectionError])
def test_a_lost_meeting_place_is_a_sentence(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(parsed: object) -> None:
        raise error("The connection to the C10d store has failed.")

    monkeypatch.setattr(run, "run", lose)
    monkeypatch.setenv("FACEREC_TORCHRUN", "--nproc-per-node 1")
    with pytest.raises(launching.LaunchError, match=r"lost the one where they do \(The connection to the C10d store"):
        launching.launch(["facerec", "train"])


@pytest.mark.slow
def test_two_machines_of_which_one_is_killed_end_with_the_same_curve_and_weights(tmp_path: Path) -> None:
    machines = Machines(tmp_path)
    curve, _ = finish(machines.start("whole.pt"))
    assert machines.checkpoints() == []
    agents = machines.start("again.pt")
    while {path.name[10:] for path in machines.checkpoints()} != {"_0_of_2.pt", "_1_of_2.pt"}:
        assert [agent.poll() for agent in agents] == [None, None]
        time.sleep(0.01)
    agents[0].send_signal(signal.SIGKILL)  # the one where they meet
    _, errors = (agent.communicate(timeout=300)[1] for agent in agents)
    assert [agent.returncode for agent in agents] == [-signal.SIGKILL, 1], errors
    assert re.search(
        "^error: (Process [01] lost the others|The machines of the run do not meet, or lost)", errors, re.M
    )
    assert machines.checkpoints(), "it was killed too late"
    assert not (machines.shared / "again.pt").exists()
    again, notes = finish(machines.start("again.pt"))
    assert "training resumes at epoch" in "".join(notes)
    assert sorted(again) == sorted(curve)
    assert (machines.shared / "again.pt").read_bytes() == (machines.shared / "whole.pt").read_bytes()
