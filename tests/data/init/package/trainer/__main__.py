"""The program of the package."""

from .options import parser

args = parser.parse_args()
print(f"step 1 perplexity={args.lr + 1}")
