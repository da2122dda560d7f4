"""The early end of a training."""

from types import SimpleNamespace

from training.callbacks.patience import Patience


def validated(patience, *losses):
    """The trainer after validations with these losses."""
    trainer = SimpleNamespace(should_stop=False, global_step=0)
    for loss in losses:
        trainer.callback_metrics = {"val/loss": loss}
        patience.on_validation_end(trainer, None)
    return trainer


def test_it_ends_after_so_many_validations_without_a_lower_loss(capsys):
    assert not validated(Patience(2), 3.0, 2.0, 2.5, 1.0, 1.0).should_stop
    assert validated(Patience(2), 3.0, 2.0, 2.0, 2.5).should_stop
    assert "has not fallen below 2.0000 in 2 validations" in capsys.readouterr().out


def test_a_resumed_run_ends_at_once_unless_its_patience_has_grown():
    ended = Patience(2)
    validated(ended, 1.0, 2.0, 2.0)
    for validations, ends in ((2, True), (3, False)):
        resumed = Patience(validations)
        resumed.load_state_dict(ended.state_dict())
        trainer = SimpleNamespace(should_stop=False, global_step=0)
        resumed.on_train_start(trainer, None)
        assert trainer.should_stop == ends
