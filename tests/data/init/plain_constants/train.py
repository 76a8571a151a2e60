"""A script whose hyperparameters are written into it."""

LEARNING_RATE = 0.01
BATCH_SIZE = 32
config = {"dropout": 0.1, "epochs": 3}

for epoch in range(config["epochs"]):
    loss = abs(LEARNING_RATE - 0.02) + config["dropout"] + 1 / BATCH_SIZE
    print(f"epoch {epoch}: val_loss={loss:.4f}")
