"""One call of ``optimize``, ``objective`` or ``train_best``: the loop and its parts."""
