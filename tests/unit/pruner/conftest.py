import pytest
import torch

from modelpress.data.dataset import Dataset
from modelpress.graph.export import export
from modelpress.graph.model import Model
from modelpress.job import LocalJob
from modelpress.testing.blobs import BlobNet, blobs
from modelpress.training.loop import FitSettings, fit
from modelpress.training.objectives import CrossEntropy


@pytest.fixture(scope="session")
def data() -> Dataset:
    return blobs(train=1024)


@pytest.fixture(scope="session")
def trained(data: Dataset) -> Model:
    """`BlobNet`, trained to about 97 % of the validation split."""
    torch.manual_seed(0)
    model = export(BlobNet(), torch.randn(2, 1, 8, 8), check=False)
    fit(model.module, data, CrossEntropy(), FitSettings(8, 0.1, 64), LocalJob())
    return model
