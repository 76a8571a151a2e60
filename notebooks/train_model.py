"""Train one of several model classes on handwritten digits; does not import tune_jobs.

python train_model.py --model=svm --c=10 --gamma=0.001 --seed=1
"""

import argparse
from pathlib import Path

from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC


def main() -> None:
    """Train the model, print its accuracy and save it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", choices=["svm", "forest", "neighbors"], required=True)
    parser.add_argument("--c", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.01)
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--depth", type=int, default=8)
    parser.add_argument("--neighbors", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--whole", action="store_true", help="train on all data")
    parser.add_argument("--output-dir", type=Path)
    options = parser.parse_args()

    model = {
        "svm": lambda: SVC(C=options.c, gamma=options.gamma),
        "forest": lambda: RandomForestClassifier(
            options.trees, max_depth=options.depth, random_state=options.seed
        ),
        "neighbors": lambda: KNeighborsClassifier(options.neighbors),
    }[options.model]()
    images, digits = load_digits(return_X_y=True)
    train, held_out, labels, held_out_labels = train_test_split(
        images / 16.0, digits, train_size=600, random_state=options.seed, stratify=digits
    )
    model.fit(*((images / 16.0, digits) if options.whole else (train, labels)))
    print(f"accuracy={model.score(held_out, held_out_labels)}")
    if options.output_dir:
        import joblib

        options.output_dir.mkdir(parents=True, exist_ok=True)
        joblib.dump(model, options.output_dir / "model.joblib")


if __name__ == "__main__":
    main()
