import copy

import pytest
import torch
from torch import nn

from modelpress.data.dataset import DataDescription, Dataset, InputDescription, Split
from modelpress.errors import InputError
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress.testing.blobs import CLASSES, BlobNet, blobs
from modelpress.testing.zoo import ZOO
from modelpress.training.evaluate import top1
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy
from modelpress_distiller.kernels.kd import run
from modelpress_distiller.methods.kd import Params

PARAMS = Params(temperature=4.0, alpha=0.7, epochs=3, learning_rate=0.05, batch_size=64)


def lifted(net: nn.Module) -> Model:
    return export(net, torch.randn(2, 1, 8, 8), check=False)


@pytest.fixture(scope="module")
def data() -> Dataset:
    return blobs()


@pytest.fixture(scope="module")
def teacher(data: Dataset) -> Model:
    torch.manual_seed(0)
    model = lifted(BlobNet())
    fit(model.module, data, CrossEntropy(), FitSettings(6, 0.1, 64), LocalJob())
    return model


@pytest.fixture(scope="module")
def student() -> Model:
    torch.manual_seed(1)
    return lifted(BlobNet(width=4))


def test_the_student_learns_and_the_inputs_stay(student: Model, teacher: Model, data: Dataset) -> None:
    before = [copy.deepcopy(model.module.state_dict()) for model in (student, teacher)]
    job = LocalJob()
    learned = run(student=student, teacher=teacher, data=data, params=PARAMS, job=job)["model"]
    assert job.metrics["top1"] == top1(learned.module, data, "validation")
    assert job.metrics["top1"] > top1(student.module, data, "validation") + 20
    assert job.metrics["loss"] > 0
    for model, state in zip((student, teacher), before, strict=True):
        assert all(torch.equal(tensor, state[name]) for name, tensor in model.module.state_dict().items())


def test_it_learns_from_the_teacher_alone(student: Model, teacher: Model, data: Dataset) -> None:
    """With alpha 1 the targets have no say: a teacher whose classes are swapped is followed."""
    swapped = teacher.with_(module=copy.deepcopy(teacher.module))
    head = swapped.module.get_submodule("head")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.copy_(head.weight.roll(1, dims=0))
        head.bias.copy_(head.bias.roll(1, dims=0))
    params = PARAMS.model_copy(update={"alpha": 1.0})
    learned = run(student=student, teacher=swapped, data=data, params=params, job=LocalJob())["model"]
    inputs, targets = next(data.batches("test", 256))
    answers = learned.module(inputs).argmax(1)
    assert (answers == (targets + 1) % CLASSES).float().mean() > 0.6
    assert (answers == targets).float().mean() < 0.2


def test_different_numbers_of_classes_are_refused(student: Model, data: Dataset) -> None:
    other = lifted(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)))
    with pytest.raises(InputError, match="student 4, teacher 7, data 4"):
        run(student=student, teacher=other, data=data, params=PARAMS, job=LocalJob())


def digits() -> Dataset:
    """Noise of LeNet's shape, of ten classes."""
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.randn(64, 1, 28, 28, generator=generator), torch.arange(64) % 10)
    description = DataDescription(
        input=InputDescription(shape=(1, 28, 28), dtype="float32"), class_names=tuple("0123456789")
    )
    return Dataset(description, {"train": split, "validation": split})


def test_a_network_that_flattens_with_a_view_is_trained() -> None:
    """LeNet-5 does, and training lays its activations out in another memory format."""
    entry = ZOO["lenet-5"]
    model = export(entry.lively(), entry.example(), check=False)
    params = PARAMS.model_copy(update={"epochs": 1, "batch_size": 16})
    learned = run(student=model, teacher=model, data=digits(), params=params, job=LocalJob())["model"]
    assert not torch.equal(learned.module.get_parameter("fc1.weight"), model.module.get_parameter("fc1.weight"))
