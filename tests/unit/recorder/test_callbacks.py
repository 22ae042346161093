"""Callbacks record real trainings by other people's trainers."""

import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.utils.data import TensorDataset

N, WIDTH, CLASSES = 40, 6, 3


def recorded(path: Path) -> tuple[set[str], Any]:
    with safe_open(path, framework="pt") as file:
        return set(file.keys()), {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping


def trained(
    folder: Path, *, body_rate: float | None = None, saved: bool = False, resumed: bool = False, **options: Any
) -> tuple[Any, torch.Tensor]:
    """A text model of three classes after the Trainer, recorded in "run", and its tokens; an epoch has five steps.

    `body_rate`: of all but the last layer, which has .1; left out, all parameters are in groups of the Trainer. `saved`: a
    checkpoint at each epoch, from the last of which a training may be `resumed`.
    """
    pytest.importorskip("accelerate", reason="the Trainer needs accelerate")
    from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

    from usual_suspects.transformers import TraceCallback

    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config.id2label = {0: "a", 1: "b", 2: "c"}
    model = BertForSequenceClassification(config)
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, 30, (N, 5), generator=draw)
    samples = [{"input_ids": row, "labels": place % CLASSES} for place, row in enumerate(tokens)]
    arguments = TrainingArguments(
        output_dir=str(folder / "out"),
        per_device_train_batch_size=8,
        learning_rate=0.1,
        report_to=[],
        save_strategy="epoch" if saved else "no",
        use_cpu=True,
        disable_tqdm=True,
        **options,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        own: Any = (None, None)
        if body_rate is not None:
            groups = ({"params": model.bert.parameters(), "lr": body_rate}, {"params": model.classifier.parameters()})
            own = (torch.optim.SGD(groups, lr=0.1), None)
        callback = TraceCallback(folder / "run")
        trainer = Trainer(model=model, args=arguments, train_dataset=samples, callbacks=[callback], optimizers=own)
        trainer.train(resume_from_checkpoint=resumed)
    return model, tokens


@pytest.mark.parametrize(("steps", "epochs"), [(2, {1}), (5, {1}), (7, {1, 2})])
def test_a_trainer_that_ends_inside_an_epoch_is_recorded_to_its_end(
    tmp_path: Path, steps: int, epochs: set[int]
) -> None:
    trained(tmp_path, max_steps=steps)
    _, arrays = recorded(tmp_path / "run")
    assert {name for name in arrays if "logits" in name} == {f"logits_{epoch}" for epoch in epochs}


def test_a_trainer_of_hugging_face_is_recorded_with_the_rates_of_its_steps(tmp_path: Path) -> None:
    model, tokens = trained(tmp_path, num_train_epochs=2)
    _, arrays = recorded(tmp_path / "run")
    assert {name for name in arrays if "logits" in name} == {"logits_1", "logits_2"}
    assert arrays["labels"].tolist() == [place % CLASSES for place in range(N)]
    # Linear decay over 10 steps: the mean rate of the first five, and of the others.
    torch.testing.assert_close(arrays["learning_rates"], torch.tensor([0.08, 0.03], dtype=torch.float64))
    model.train(False)
    with torch.no_grad():
        torch.testing.assert_close(arrays["logits_2"], model(input_ids=tokens).logits, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("body_rate", [0.0, 1e-5])
def test_a_trainer_in_mixed_precision_is_recorded_with_the_rates_of_its_last_layer(
    tmp_path: Path, body_rate: float
) -> None:
    trained(tmp_path, body_rate=body_rate, num_train_epochs=2, bf16=True)
    _, arrays = recorded(tmp_path / "run")
    assert {name for name in arrays if "logits" in name} == {"logits_1", "logits_2"}
    torch.testing.assert_close(arrays["learning_rates"], torch.tensor([0.08, 0.03], dtype=torch.float64))


def test_a_trainer_of_hugging_face_that_is_resumed_goes_on_with_its_recording(tmp_path: Path) -> None:
    trained(tmp_path, num_train_epochs=2, saved=True)
    _, before = recorded(tmp_path / "run")
    trained(tmp_path, num_train_epochs=3, saved=True, resumed=True)
    _, arrays = recorded(tmp_path / "run")
    assert {name for name in arrays if "logits" in name} == {"logits_1", "logits_2", "logits_3"}
    assert torch.equal(arrays["logits_2"], before["logits_2"])


def begun(folder: Path, problem: Any, **options: Any) -> Any:
    """The callback of a Trainer whose model has one output, after the training has begun."""
    from transformers import BertConfig, BertForSequenceClassification

    from usual_suspects.transformers import TraceCallback

    config = BertConfig(vocab_size=30, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    config.num_labels, config.problem_type = 1, problem
    samples = [{"input_ids": torch.tensor([1, 2, place % 5]), "labels": float(place % 2)} for place in range(N)]
    callback = TraceCallback(folder / "run", **options)
    state = SimpleNamespace(is_world_process_zero=True, global_step=0)
    loader: Any = torch.utils.data.DataLoader(samples)  # type: ignore[arg-type]  # a list is a dataset, too
    callback.on_train_begin(None, state, None, model=BertForSequenceClassification(config), train_dataloader=loader)
    return callback


def test_a_single_output_of_hugging_face_is_refused_as_regression_before_the_training(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_labels=1 is trained by the squared error"):
        begun(tmp_path, None)
    for problem, options in (("multi_label_classification", {}), (None, {"classes": ["no", "yes"]})):
        callback = begun(tmp_path, problem, existing="replace", **options)
        callback._recorder.record(0.1)
        callback.on_train_end(None, None, None)
        assert recorded(tmp_path / "run")[1]["logits_1"].shape == (N, 2)


def test_a_trainer_of_lightning_is_recorded_and_goes_on_where_it_is_resumed(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import lightning.pytorch as pl
        except ImportError:
            pl = pytest.importorskip("pytorch_lightning")

        from usual_suspects.lightning import TraceCallback

        # Any where Lightning is not installed.
        class Module(pl.LightningModule):  # type: ignore[misc, name-defined, unused-ignore]
            def __init__(self) -> None:
                super().__init__()
                self.body, self.layer = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)

            def forward(self, x: Tensor) -> Tensor:
                logits: Tensor = self.layer(self.body(x))
                return logits

            def training_step(self, batch: Any, _index: int) -> Tensor:
                x, y = batch
                return nn.functional.cross_entropy(self(x), y)

            def configure_optimizers(self) -> Any:
                groups: Any = [{"params": self.body.parameters(), "lr": 0.0}, {"params": self.layer.parameters()}]
                optimizer = torch.optim.SGD(groups, lr=0.5)
                return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.1)]

        x, y = torch.randn(N, WIDTH), torch.arange(N) % CLASSES
        samples, module = TensorDataset(x, y), Module()
        for epochs, checkpoint in ((2, None), (3, tmp_path / "checkpoint")):
            trainer = pl.Trainer(
                max_epochs=epochs,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                default_root_dir=tmp_path,
                callbacks=[TraceCallback(tmp_path / "run", samples)],
            )
            trainer.fit(module, torch.utils.data.DataLoader(samples, batch_size=8, shuffle=True), ckpt_path=checkpoint)
            trainer.save_checkpoint(tmp_path / "checkpoint")
    _, arrays = recorded(tmp_path / "run")
    torch.testing.assert_close(arrays["learning_rates"], torch.tensor([0.5, 0.05, 0.005], dtype=torch.float64))
    assert arrays["activations"].shape == (N, WIDTH)
    torch.testing.assert_close(arrays["logits_3"], module(x).detach())
