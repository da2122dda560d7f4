"""Work between the steps of a training.

- `building`: the callbacks that the options ask for.
- `steps`: when a validation follows.
- `validation`, `agreement`: scores of pictures that are drawn.
- `checkpoints`: what a run can go on from.
- `patience`: the early end.
- `loss_curve`, `previews`: pictures.
"""
