"""The benchmark of training speed: its contenders compute what ours computes, it writes valid
records, and says what is wrong."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from aevb.core.errors import UserError
from aevb.engine.settings import has_bfloat16

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import contenders  # noqa: E402
import limit  # noqa: E402
import throughput  # noqa: E402


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Stand-in images of each workload."""
    folder = tmp_path_factory.mktemp("images")
    return {
        name: throughput.lay_out(contenders.WORKLOADS[name], folder / "nothing", folder)
        for name in ("mnist", "frey")
    }


def needs(name):
    if not contenders.package(name):
        pytest.skip(f"{name} is not installed; ./run bench installs it")


@pytest.mark.parametrize("name", ["plain", "fused", "pyro", "pythae"])
@pytest.mark.parametrize("workload", ["mnist", "frey"])
def test_the_others_compute_what_ours_does(images, monkeypatch, workload, name):
    needs(name)
    arguments = name, contenders.WORKLOADS[workload], images[workload]
    assert max(contenders.check_equal(*arguments)) < 1e-5
    exact = contenders.our_bound
    monkeypatch.setattr(
        contenders, "our_bound", lambda w, theta, x, noise: exact(w, theta, x, noise + 0.01)
    )
    with pytest.raises(UserError, match="does not compute what ours does"):
        contenders.check_equal(*arguments)


@pytest.mark.parametrize("name", ["plain", "fused", "pyro", "pythae"])
def test_the_others_train(images, name):
    needs(name)
    contender, samples = contenders.CONTENDERS[name](contenders.WORKLOADS["frey"]), []
    x = contender.in_memory(images["frey"])
    before = contender.minus_bound(x).item()
    contender.vae.zero_grad()

    def done(number):
        samples.append(number)
        if len(samples) == 40:  # an epoch has 16 minibatches
            raise throughput.Finished

    with pytest.raises(throughput.Finished):
        contender.train(images["frey"], 0, 0, done)
    assert set(samples) == {100}
    assert contender.minus_bound(x).item() < before - 10 * len(x)


def test_the_limit_multiplies_what_a_step_multiplies():
    for workload in contenders.WORKLOADS.values():
        counted = []

        class Count(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(
                self, function, types, arguments=(), options=None, counted=counted
            ):
                if function in (torch.ops.aten.mm.default, torch.ops.aten.addmm.default):
                    (m, k), (_, n) = (matrix.shape for matrix in arguments[-2:])
                    counted.append((m, k, n))
                return function(*arguments, **(options or {}))

        vae, x = contenders.VAE(workload), torch.rand(workload.batch, workload.layout.pixels)
        with Count():
            vae(x).backward()
        assert sorted(m * k * n for m, k, n in counted) == sorted(
            m * k * n for m, k, n in limit.shapes(workload)
        )


def test_the_limit_tries_equal_products():
    for call in limit._routes(3, 4, 5):
        a, b = call.args[:2]
        expected = a @ (b if call.func is torch.mm else b.T)
        assert torch.allclose(call(), expected, atol=1e-5) and sorted(expected.shape) == [3, 5]


@pytest.mark.slow
def test_a_short_run_writes_its_records(tmp_path):
    options = [
        "--seconds",
        "0.2",
        "--rounds",
        "1",
        "--workload",
        "frey",
        "--contender",
        "ours",
        "limit",
    ]
    command = [sys.executable, ROOT / "benchmarks/throughput.py", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    records = json.loads((tmp_path / "results/benchmark.json").read_text())
    assert (contenders.ROUNDED in {r["contender"] for r in records}) == has_bfloat16()
    ours, most = (r for r in records if r["contender"] != contenders.ROUNDED)
    for record, name in ((ours, "ours"), (most, "limit")):
        assert (
            record["contender"] == name
            and record["workload"] == "frey"
            and record["data"] == "stand-in data"
        )
        assert record["device"] == "cpu" and record["rounds"] == 1 and record["seconds"] == 0.2
        assert (
            record["processes"] >= 1
            and record["threads"] == 1
            and record["torch"] == torch.__version__
            and record["processor"]
        )
        assert 0 < record["cpu_per_second"] <= 1.1
        assert (
            0
            < record["samples_per_second_min"]
            <= record["samples_per_second"]
            <= record["samples_per_second_max"]
        )
    assert most["products_seconds"] > 0 and most["adagrad_seconds"] > 0 and most["gflops"] > 0
    ratio, share = re.search(r"^ours .* (\d+\.\d\d) +(\d+)%$", done.stdout, re.MULTILINE).groups()
    assert float(ratio) == 1
    assert int(share) == pytest.approx(
        100 * ours["samples_per_second"] / most["samples_per_second"], abs=0.51
    )
    assert "stand-in data" in done.stdout and "stand-in data" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--rounds 0", "must be larger than 0"),
        ("--seconds nan", "must be larger than 0"),
        ("--rounds many", "invalid int value"),
        ("--workload cifar", "invalid choice"),
        ("--nonsense", "unrecognized arguments"),
    ],
)
def test_wrong_arguments_are_one_sentence(capsys, arguments, words):
    with pytest.raises(UserError, match=words) as caught:
        throughput.main(arguments.split())
    assert "\n" not in str(caught.value) and not capsys.readouterr().err


def test_a_library_that_is_missing_is_named(monkeypatch, capsys):
    monkeypatch.setattr(contenders, "PACKAGES", {"pyro": "no-such-package"})
    assert (
        "pyro" not in throughput.chosen(None) and "pyro is not installed" in capsys.readouterr().err
    )
    with pytest.raises(UserError, match="pyro is not installed"):
        throughput.chosen(["ours", "pyro"])


def test_the_benchmarks_lock_has_hashes_names_no_host_and_keeps_the_versions_of_the_projects():
    def versions(text):
        return set(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s;\\]+)", text, re.MULTILINE))

    text = (ROOT / "benchmarks/requirements.lock").read_text()
    project, own = versions((ROOT / "requirements.lock").read_text()), versions(text)
    shared = {name for name, _ in project}
    assert {name for name, _ in own} >= {"pyro-ppl", "pythae"}
    assert {(name, version) for name, version in own if name in shared} <= project
    assert (
        text.count("--hash=sha256:") >= len(own) and "://" not in text and "index-url" not in text
    )
