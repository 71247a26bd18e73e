"""Backends: they say the same of a network, whichever computes it."""

import ctypes
import sys
from multiprocessing.reduction import ForkingPickler

import numpy as np
import pytest
import torch

from games.errors import UserError
from games.registry import make
from marl.agents.load import load_entrant
from marl.algorithms.zero.muzero import MuZeroConfig, MuZeroNetwork
from marl.algorithms.zero.networks import PolicyValue, PolicyValueInference, folded, head_of
from marl.base.schema import load
from marl.evaluation.evaluate import evaluate_entrant
from marl.learning.backends import OpenVino, backend_of, fastest
from marl.learning.networks import generator_of
from marl.training.config import TrainConfig
from marl.training.train import train

GAME = "openspiel:connect_four"
CLOSE = {"float32": 1e-5, "bfloat16": 3e-2}


def alphazeros(encoder, head="scalar"):
    spec = make(GAME, 1).spec
    made = head_of(MuZeroConfig(value_head=head), spec)
    network = PolicyValue(spec, generator_of(3), encoder=encoder, hidden=(24, 20), channels=16, blocks=2, head=made)
    x = torch.rand(40, 3, 6, 7, generator=generator_of(1))
    return network, {"evaluate": network.encode(x, torch.arange(40) % 2)}


def muzeros(encoder, head="scalar"):
    config = MuZeroConfig(encoder=encoder, hidden=(24, 20), channels=16, blocks=2, value_head=head)
    network = MuZeroNetwork(config, make(GAME, 1).spec, generator_of(3))
    x = torch.rand(40, 3, 6, 7, generator=generator_of(1))
    hidden = torch.rand(40, *network.features, generator=generator_of(2))
    with torch.no_grad():
        taken = network.with_action(hidden, torch.arange(40) % 7)
    return network, {"initial": network.encode(x, torch.arange(40) % 2), "recurrent": taken}


@pytest.mark.parametrize(
    "encoder, precision, head",
    [
        *((encoder, precision, "scalar") for encoder in ("residual", "mlp") for precision in ("float32", "bfloat16")),
        ("residual", "float32", "categorical"),
        ("mlp", "float32", "hl_gauss"),
        ("residual", "bfloat16", "hl_gauss"),
    ],
)
@pytest.mark.parametrize("made", [alphazeros, muzeros])
def test_openvino_says_what_torch_says(made, encoder, precision, head):
    network, shown = made(encoder, head)
    for parameter in network.parameters():  # heads that begin at nothing would say nothing
        torch.nn.init.normal_(parameter, std=0.2, generator=generator_of(5))
    network = folded(network)
    torchs, openvinos = (backend_of(name, network, "cpu", precision) for name in ("torch", "openvino"))
    for part, x in shown.items():
        with torch.inference_mode():
            said, expected = openvinos(part, x), torchs(part, x)
        assert said.shape == expected.shape and expected.std() > 0.1
        torch.testing.assert_close(said, expected, rtol=CLOSE[precision], atol=CLOSE[precision] * expected.abs().max())


def test_what_is_compiled_stays_in_its_process():
    network, shown = alphazeros("residual")
    made = backend_of("openvino", folded(network), "cpu", "float32")
    with torch.inference_mode():
        said = made("evaluate", shown["evaluate"])
        again = ForkingPickler.loads(ForkingPickler.dumps(made))("evaluate", shown["evaluate"])
    assert torch.equal(said, again)


def test_a_renewed_network_is_compiled_anew():
    spec, (network, _) = make(GAME, 1).spec, alphazeros("residual")
    judge = PolicyValueInference(network, spec, "cpu", backend="openvino")
    views = np.zeros((1, 3, 6, 7), np.float32)
    before = judge(views, np.array([0]))[0]
    with torch.no_grad():
        network.policy.bias += torch.arange(7)
    assert np.array_equal(judge(views, np.array([0]))[0], before)
    judge.renew(network)
    assert judge(views, np.array([0]))[0] - before == pytest.approx(np.arange(7)[None], abs=1e-6)


@pytest.mark.skipif(sys.platform != "linux", reason="the size of stack_t is that of Linux")
def test_the_signal_stack_is_never_one_that_was_freed():
    """A Core that is destroyed restores the signal stack of before, which an earlier Core may have freed."""

    def signal_stack():
        stack = (ctypes.c_void_p * 3)()  # stack_t: where it is, its flags, its size
        assert ctypes.CDLL(None).sigaltstack(None, stack) == 0
        return list(stack)

    network, shown = alphazeros("mlp")
    compiled, seen = [], []
    for _ in range(3):
        compiled = [*compiled[-1:], backend_of("openvino", folded(network), "cpu", "float32")]
        with torch.inference_mode():
            compiled[-1]("evaluate", shown["evaluate"])
        seen.append(signal_stack())
    del compiled
    assert seen == 3 * [signal_stack()]


def test_nothing_is_sent_anywhere():
    """OpenVINO would fork a process that reports its import."""
    network, _ = alphazeros("mlp")
    backend_of("openvino", folded(network), "cpu", "float32")
    assert sys.modules["openvino"] and sys.modules["openvino_telemetry"] is None


def test_what_cannot_compute_is_refused(monkeypatch):
    network, _ = alphazeros("mlp")
    with pytest.raises(UserError, match="expected backend torch or openvino, got 'jax'"):
        backend_of("jax", network, "cpu", "float32")
    with pytest.raises(UserError, match="on the CPU, got device 'cuda:0'; use torch there"):
        backend_of("openvino", network, "cuda:0", "float32")
    monkeypatch.setitem(sys.modules, "openvino", None)  # as if it were not installed
    with pytest.raises(UserError, match="pip install 'marl\\[openvino\\]', or play with backend=torch"):
        backend_of("openvino", network, "cpu", "float32")


def test_what_has_no_translation_is_told():
    class Odd(torch.nn.Module):
        def forward(self, x):
            return self.layer(x) if self.layer else torch.sin(x)

    for layer in (None, torch.nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular")):
        made = Odd()
        made.layer = layer
        with pytest.raises(NotImplementedError, match="no translation"):
            backend_of("openvino", made, "cpu", "float32")("forward", torch.zeros(8, 1, 4, 4))


@pytest.mark.parametrize("algorithm, workers", [("alphazero", (0, 0)), ("muzero", (1, 2))])
def test_a_run_learns_with_it_resumes_and_plays_without(algorithm, workers, tmp_path, monkeypatch):
    settings = {"simulations": 4, "hidden": [8], "encoder": "mlp", "batch_size": 8, "steps_per_update": 16}

    def trained(folder, steps, workers):
        config = TrainConfig(
            game="openspiel:tic_tac_toe",
            algorithm={"name": algorithm, "backend": "openvino"} | settings,
            steps=steps,
            stretch=128,
            num_envs=8,
            rollout_length=8,
            rollout_workers=workers,
            evaluation={"panel": ["random"], "seeds": 2},
        )
        return train(config, tmp_path / folder, resume=(tmp_path / folder / "config.yaml").exists(), device="cpu")

    whole = trained("whole", 256, workers[0])
    trained("parts", 128, workers[0])
    parts = trained("parts", 256, workers[1])
    assert (whole / "learner.safetensors").read_bytes() == (parts / "learner.safetensors").read_bytes()
    asked, ask = [], OpenVino.__call__
    monkeypatch.setattr(OpenVino, "__call__", lambda *args: asked.append(args[1]) or ask(*args))
    venv = make("openspiel:tic_tac_toe", 2)
    for text, computes in (("", True), ("(backend=torch)", False), ("(backend=torch, search=false)", False)):
        asked.clear()
        evaluate_entrant(
            venv, load_entrant(f"{whole}{text}", venv.spec), load_entrant("random", venv.spec), seeds=1, key=0
        )
        assert bool(asked) == computes
    asked.clear()
    trained("here", 128, 0)
    assert asked
    for wrong in ("jax", "''"):
        with pytest.raises(UserError, match="expected backend torch or openvino, got"):
            load_entrant(f"{whole}(backend={wrong})", venv.spec)


def test_the_fastest_backend_is_that_of_convolutions_on_a_cpu_where_it_is_installed(monkeypatch):
    assert fastest("cpu", "float32", convolutional=True) == "openvino"
    assert fastest("cpu", "bfloat16", convolutional=True) == "torch"
    assert fastest("cpu", "float32", convolutional=False) == "torch"
    assert fastest("cuda:0", "float32", convolutional=True) == "torch"
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert fastest("cpu", "float32", convolutional=True) == "torch"


@pytest.mark.parametrize("algorithm", ["alphazero", "muzero", "versus"])
def test_auto_is_decided_when_a_run_starts(algorithm, tmp_path, monkeypatch):
    section = {"name": "alphazero", "simulations": 2, "channels": 4, "blocks": 1, "batch_size": 8, "backend": "auto"}
    if algorithm == "versus":
        section = {"name": "versus", "learners": [section, {"name": "ippo", "hidden": [8]}]}
    config = TrainConfig(
        game="openspiel:tic_tac_toe",
        algorithm=section | {"name": algorithm},
        steps=64,
        stretch=64,
        num_envs=4,
        rollout_length=16,
        evaluation={"panel": []},
    )

    def settings():
        written = load(TrainConfig, tmp_path / "run" / "config.yaml").algorithm
        return written["learners"][0] if algorithm == "versus" else written

    train(config, tmp_path / "run", resume=False, device="cpu")
    assert settings()["backend"] == "openvino" and settings()["precision"] == "float32"
    monkeypatch.setattr("marl.algorithms.zero.learner.fastest", lambda *of, **network: "torch")
    train(config.model_copy(update={"steps": 128}), tmp_path / "run", resume=True, device="cpu")
    assert settings()["backend"] == "openvino"
