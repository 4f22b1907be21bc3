import copy

import pytest
import torch
from torch import nn

from modelpress.catalogue import Form
from modelpress.constraints.dequantize import dequantize_of
from modelpress.constraints.fake_quantize import FakeQuantize
from modelpress.data.dataset import Dataset
from modelpress.errors import InputError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.graph.serialise import load, save
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet, blobs
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy
from modelpress_quantizer.kernels.ptq_int8 import quantize, quantize_layer, run
from modelpress_quantizer.methods.ptq_int8 import Params


@pytest.fixture(scope="module")
def data() -> Dataset:
    return blobs()


@pytest.fixture(scope="module")
def trained(data: Dataset) -> Model:
    torch.manual_seed(0)
    model = export(BlobNet(), torch.randn(2, 1, 8, 8), check=False)
    fit(model.module, data, CrossEntropy(), FitSettings(4, 0.1, 64), LocalJob())
    return model


def test_a_layer_by_hand() -> None:
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.27, -0.5], [0.0, 0.0]]))
        layer.bias.copy_(torch.tensor([0.1, 0.0]))
    quantize_layer(layer, input_scale=torch.tensor(0.5), quant_max=127)
    weight, bias = dequantize_of(layer, "weight"), dequantize_of(layer, "bias")
    assert weight is not None
    assert bias is not None
    assert weight[0].tolist() == [[127, -50], [0, 0]]
    assert bias[0].tolist() == [20, 0]  # 0.1 / (0.5 * 0.01)
    assert torch.allclose(layer(torch.tensor([[1.0, 1.0]])), torch.tensor([[0.87, 0.0]]))


def test_a_bias_without_an_input_scale_stays_float() -> None:
    layer = nn.Linear(2, 2)
    quantize_layer(layer, input_scale=None, quant_max=127)
    assert dequantize_of(layer, "weight") is not None
    assert isinstance(layer.bias, nn.Parameter)


@pytest.mark.parametrize("observer", ["min-max", "percentile", "mse"])
def test_a_trained_model_keeps_its_accuracy(trained: Model, data: Dataset, observer: str) -> None:
    job = LocalJob()
    params = Params.model_validate({"observer": observer})
    quantized = run(model=trained, data=data, params=params, job=job)["model"]
    assert job.metrics["top1_validation_before"] > 80
    assert job.metrics["top1_validation"] > job.metrics["top1_validation_before"] - 3
    assert job.metrics["layers_quantized"] == 5
    assert quantized.form is Form.QUANTIZED
    assert quantized.facts["quantized"]["grids"] == sum(
        isinstance(leaf, FakeQuantize) for _, leaf in quantized.leaves()
    )


@torch.no_grad()
def test_it_beats_coarser_weights(trained: Model, data: Dataset) -> None:
    inputs = [x for x, _ in data.batches("calibration", 64)]
    expected = trained.module(inputs[0])

    def error(params: Params) -> float:
        return float((quantize(trained, inputs, params).module(inputs[0]) - expected).square().mean())

    assert error(Params()) < error(Params(reduce_range=True))


def test_weights_lie_within_their_range(trained: Model, data: Dataset) -> None:
    inputs = [x for x, _ in data.batches("calibration", 64)]
    for reduced, limit in ((False, 127), (True, 63)):
        quantized = quantize(trained, inputs, Params(reduce_range=reduced))
        stored = [found[0] for _, leaf in quantized.leaves() if (found := dequantize_of(leaf, "weight"))]
        assert len(stored) == 5
        assert max(int(t.abs().max()) for t in stored) == limit


def test_the_model_given_is_left_alone(trained: Model, data: Dataset) -> None:
    before = copy.deepcopy(trained.module.state_dict())
    run(model=trained, data=data, params=Params(), job=LocalJob())
    assert all(torch.equal(tensor, before[name]) for name, tensor in trained.module.state_dict().items())


def test_equal_inputs_give_equal_files_which_load_again(trained: Model, data: Dataset) -> None:
    first, second = (run(model=trained, data=data, params=Params(), job=LocalJob())["model"] for _ in range(2))
    files = save(first)
    assert save(second) == files
    loaded = load(files.graph_json, files.tensors)
    assert save(loaded) == files
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(loaded.module(x), first.module(x))


def test_a_model_without_layers_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution or linear layer"):
        quantize(export(nn.ReLU(), torch.randn(2, 3)), [torch.randn(2, 3)], Params())


def test_a_layer_that_is_called_at_two_scales_keeps_its_float_bias() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.layer(torch.relu(self.layer(x)))
            return y

    model = export(Twice(), torch.randn(2, 4), check=False)
    quantized = quantize(model, [10 * torch.randn(64, 4)], Params())
    layers = [leaf for _, leaf in quantized.leaves() if isinstance(leaf, nn.Linear)]
    assert all(dequantize_of(layer, "weight") is not None for layer in layers)
    x = torch.randn(8, 4)
    assert (quantized.module(x) - model.module(x)).abs().max() < 0.2
