"""A small SentencePiece model of Llama's kind and the ids that the sentencepiece library gives.

Run by hand; the results in sentencepiece/ are committed:

    pip install sentencepiece
    python make-sentencepiece.py
"""

import io
import json
import pathlib

import sentencepiece
from sentencepiece import sentencepiece_model_pb2

HERE = pathlib.Path(__file__).parent / "sentencepiece"

CORPUS = """The quick brown fox jumps over the lazy dog. A journey of a thousand miles begins with a single step.
Der schnelle braune Fuchs springt über den faulen Hund. Übung macht den Meister, größer ist nicht besser.
Le renard brun saute par-dessus le chien paresseux. L'été dernier, nous avons mangé à l'hôtel.
El zorro marrón salta sobre el perro perezoso. Mañana será otro día, señor.
Быстрая коричневая лиса перепрыгивает через ленивую собаку. Утро вечера мудренее.
敏捷的棕色狐狸跳过了懒狗。千里之行，始于足下。
素早い茶色の狐がのろまな犬を飛び越える。猿も木から落ちる。
السرعة في التعلم تأتي بالصبر. الثعلب البني السريع يقفز فوق الكلب الكسول.
def add(a, b):
    return a + b  # 12345 + 67890
""".splitlines()

SAMPLES = [
    "Hello world",
    " leading and  double   spaces ",
    "The fox, the dog: a journey.",
    "Übung größer Fuchs",
    "l'été à l'hôtel mañana",
    "Утро вечера мудренее и лиса",
    "千里之行，始于足下。狐狸",
    "猿も木から落ちる",
    "الثعلب البني",
    "def add(a, b):\n    return a + b\n",
    "1234567890 3.14159",
    "emoji 🙂🏳️‍🌈 and ﬁ ligature ½ Å",
    "tabs\tand\nnew lines\r\n",
    "a▁b ▁ c",
    "Zażółć gęślą jaźń ελληνικά हिन्दी 한국어",
    "x" * 40,
    "",
]

VARIANTS = {
    # Llama 2, TinyLlama, Mistral 7B v0.1.
    "llama": dict(),
    "no-prefix": dict(add_dummy_prefix=False),
}


def train(**options):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS * 3),
        model_writer=model,
        minloglevel=2,
        **{
            **dict(
                vocab_size=700,
                character_coverage=0.98,
                model_type="bpe",
                byte_fallback=True,
                normalization_rule_name="identity",
                remove_extra_whitespaces=False,
                split_digits=True,
                allow_whitespace_only_pieces=True,
            ),
            **options,
        },
    )
    return model.getvalue()


def main():
    HERE.mkdir(exist_ok=True)
    expected = {}
    for name, options in VARIANTS.items():
        data = train(**options)
        (HERE / f"{name}.model").write_bytes(data)
        processor = sentencepiece.SentencePieceProcessor(model_proto=data)
        expected[name] = [dict(text=text, ids=processor.encode(text)) for text in SAMPLES]
    refused = {
        "unigram": train(model_type="unigram", vocab_size=400),
        "rewrites": train(normalization_rule_name="nmt_nfkc"),
        "extra-spaces": train(remove_extra_whitespaces=True),
    }
    for name, data in refused.items():
        # What is refused is in the settings: the rule itself, a quarter of a megabyte, is not needed.
        proto = sentencepiece_model_pb2.ModelProto.FromString(data)
        rule = proto.normalizer_spec.precompiled_charsmap
        proto.normalizer_spec.precompiled_charsmap = rule[:8]
        (HERE / f"{name}.model").write_bytes(proto.SerializeToString())
    (HERE / "expected.json").write_text(json.dumps(expected, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
