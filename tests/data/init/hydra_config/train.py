"""A script of Hydra."""

import hydra


@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    for epoch in range(cfg.trainer.max_epochs):
        loss = abs(cfg.optimizer.lr - 0.01) + 1 / cfg.model.hidden_size + 1 / (epoch + 1)
        print(f"epoch={epoch} val/loss={loss:.4f}")


if __name__ == "__main__":
    main()
