"""Every data stage gives one set of bytes: in one process, in four, and on Ray with two nodes of which one may end.

The cluster is on this machine (`ray.cluster_utils.Cluster`): two nodes of one CPU each.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from facerec.core import FacerecError, ParamsError, console, executor, ray_executor
from tests import children, data_stages
from tests.conftest import ROOT
from tests.test_resume import bytes_of

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="the extra [ray] is not installed")
REFUSALS = """
import os
from pathlib import Path
from facerec.core import FacerecError, ray_executor
from facerec.core.executor import map_ordered

STATE = {}

def remember(value):
    STATE["value"] = value

def times(number):
    return number * STATE["value"]

def fail_at_three(number):
    if number == 3:
        raise FacerecError("three is too many")
    return number

def end_at_two(number):
    if number == 2:
        os._exit(9)
    return number

def told(function):
    try:
        return list(map_ordered(function, range(6), 1 + 1))
    except FacerecError as error:
        return str(error)

print(list(map_ordered(times, range(5), None, remember, (7,))))
print(told(fail_at_three))
print(told(end_at_two))
print(os.listdir(os.environ["FACEREC_SCRATCH"]))
here = ray_executor.fingerprint
ray_executor.fingerprint = lambda device: {**here(device), "numpy": "0.1", "arithmetic": "another processor"}
print(told(abs))
ray_executor.fingerprint = here
Path.touch = lambda self: None
print(told(abs))
"""


class Nodes:
    """A cluster of two nodes of one CPU each, of which the second can be ended and started again."""

    def __init__(self, cluster: Any) -> None:
        self.cluster = cluster
        self.second = self.start()

    def start(self) -> Any:
        return self.cluster.add_node(num_cpus=1, object_store_memory=80 << 20)

    def end(self) -> None:
        self.cluster.remove_node(self.second)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", "0123456789abcdef" * 4)
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        yield Nodes(cluster)
        cluster.shutdown()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    finish(start("from pathlib import Path; from tests.data_stages import prepare; prepare(Path())", folder))
    return folder


def start(code: str, folder: Path, **settings: str) -> subprocess.Popen[str]:
    """Run `code` in `folder` with machine settings."""
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FACEREC_SCRATCH": str(folder / "scratch"), **settings},
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    return children.finish(process, seconds=1200)[0]


def start_stages(world: Path, **settings: str) -> subprocess.Popen[str]:
    return start("from tests.data_stages import main; main()", world, **settings)


def outputs(world: Path) -> dict[str, bytes]:
    """Everything the stages have written, which is then removed."""
    found = {f"{each}/{name}": data for each in data_stages.OUTPUTS for name, data in bytes_of(world / each).items()}
    for each in data_stages.OUTPUTS:
        shutil.rmtree(world / each)
    assert os.listdir(world / "scratch") == ["synthfaces"]  # what the renderer keeps
    return found


@pytest.fixture(scope="module")
def alone(world: Path) -> dict[str, bytes]:
    finish(start_stages(world, FACEREC_WORKERS="1"))
    found = outputs(world)
    assert {Path(name).suffix for name in found} == {".arrow", ".npy", ".parquet"}
    return found


@pytest.mark.slow
def test_four_processes_give_the_bytes_of_one(world: Path, alone: dict[str, bytes]) -> None:
    finish(start_stages(world, FACEREC_WORKERS="4"))
    assert outputs(world) == alone


@needs_ray
@pytest.mark.slow
def test_two_nodes_give_the_bytes_of_one_process(world: Path, alone: dict[str, bytes], nodes: Nodes) -> None:
    finish(start_stages(world, FACEREC_EXECUTOR="ray", FACEREC_RAY_ADDRESS=nodes.cluster.address))
    assert outputs(world) == alone


@needs_ray
@pytest.mark.slow
def test_a_node_that_ends_in_the_middle_changes_nothing(world: Path, alone: dict[str, bytes], nodes: Nodes) -> None:
    running = start_stages(world, FACEREC_EXECUTOR="ray", FACEREC_RAY_ADDRESS=nodes.cluster.address)
    while not (made := list((world / "scratch/detect").glob("*/*.part"))):
        assert running.poll() is None, finish(running)
        time.sleep(0.02)
    nodes.end()
    assert len(made) < data_stages.PARTS["detect"]
    finish(running)
    nodes.second = nodes.start()
    assert outputs(world) == alone


@needs_ray
@pytest.mark.slow
def test_errors_and_refusals_are_sentences(tmp_path: Path, nodes: Nodes) -> None:
    address = {"FACEREC_EXECUTOR": "ray", "FACEREC_RAY_ADDRESS": nodes.cluster.address}
    lines = finish(start(REFUSALS, tmp_path, **address)).splitlines()
    assert lines[:2] == ["[0, 7, 14, 21, 28]", "three is too many"]
    assert lines[2].startswith("3 workers ended while they did item 2 of 6, most likely for lack of memory")
    assert lines[3] == "[]"
    assert "would compute otherwise: numpy is " in lines[4]
    assert "not 0.1, arithmetic is portable x86-64, not another processor; install the same there." in lines[4]
    assert "does not see" in lines[5]
    assert "put the project and FACEREC_SCRATCH on a file system that all nodes share" in lines[5]


def test_a_cluster_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_EXECUTOR", "ray")
    monkeypatch.setenv("FACEREC_RAY_ADDRESS", "127.0.0.1:9")
    with pytest.raises(ray_executor.ClusterError, match=r"No Ray cluster answers at 127.0.0.1:9 \(.*refused\)"):
        list(executor.map_ordered(abs, [1, 2]))


@pytest.mark.parametrize("address", ["", "auto", "ray://head:10001", "head", ":6379"])
def test_a_cluster_is_named_or_none_is_joined(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_EXECUTOR", "ray")
    monkeypatch.setenv("FACEREC_RAY_ADDRESS", address)
    with pytest.raises(ParamsError, match="name the head of the cluster as HOST:PORT"):
        list(executor.map_ordered(abs, [1, 2]))
    assert list(executor.map_ordered(abs, [-1, 2], workers=1)) == [1, 2]
    assert list(executor.map_ordered(abs, [-1])) == [1]


def test_an_unknown_executor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_EXECUTOR", "slurm")
    with pytest.raises(ParamsError, match="FACEREC_EXECUTOR must be one of processes, ray, not 'slurm'"):
        list(executor.map_ordered(abs, [1, 2]))


def test_the_missing_extra_is_named() -> None:
    missing = ModuleNotFoundError("No module named 'ray'", name="ray")
    assert "pip install 'facerec[ray]'" in str(console._explain(missing))


def test_settings_reach_an_actor_that_is_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACEREC_WORKERS", "8")
    monkeypatch.setenv("FACEREC_PORTABLE", "yes")
    monkeypatch.setenv("FACEREC_EXECUTOR", "ray")
    found = ray_executor._environment("cuda")
    assert (found["FACEREC_WORKERS"], found["FACEREC_EXECUTOR"], found["FACEREC_DEVICE"]) == ("1", "processes", "cuda")
    assert found["FACEREC_PORTABLE"] == "yes"
    assert found["OPENBLAS_CORETYPE"] == "Haswell"
    assert str(ROOT) in found["PYTHONPATH"].split(os.pathsep)
    assert issubclass(ray_executor.ClusterError, FacerecError)
