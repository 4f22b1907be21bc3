"""Knowledge distillation: train a student on the targets and on a teacher's softened answers.

Paper: Hinton, Vinyals & Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531.
Differs from the paper: the student starts from the weights that it comes with (a pruned model recovers so), and the
teacher sees the same augmented images as the student (Beyer et al. 2022, arXiv:2106.05237).
Cost: ``epochs`` of training the student, and one forward pass of the teacher with each.
"""

from __future__ import annotations

from pydantic import Field

from modelpress.catalogue import DATA, DENSE, Kind, MethodInfo, MethodParams, Port


class Params(MethodParams):
    temperature: float = Field(4.0, gt=0, description="Softens both distributions: logits are divided by it.")
    alpha: float = Field(0.9, ge=0, le=1, description="Share of the teacher in the loss; the targets have the rest.")
    epochs: int = Field(15, ge=1, description="Epochs of training.")
    learning_rate: float = Field(0.1, gt=0, description="Peak learning rate.")
    batch_size: int = Field(128, ge=1, description="Samples per training step.")
    weight_decay: float = Field(
        default=1e-4, ge=0, description="Decay of weights; biases and scales of norms are spared."
    )


INFO = MethodInfo(
    name="distiller/kd",
    params=Params,
    run="modelpress_distiller.kernels.kd:run",
    summary="Train a student on the targets and on the softened answers of a teacher.",
    paper="arXiv:1503.02531",
    inputs={
        "student": Port(Kind.MODEL, DENSE, "what is trained, from the weights that it has"),
        "teacher": Port(Kind.MODEL, DENSE, "what it learns from; not changed"),
        "data": DATA,
    },
    preserves=frozenset({"shapes"}),
    needs=frozenset({"data.train", "data.validation"}),
    metrics={
        "top1": "percent: validation accuracy after the last epoch",
        "loss": "nats: mean training loss of the last epoch",
    },
    trains=True,
)
