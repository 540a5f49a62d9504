"""Parquet files for the tests of src/data/parquet-rows.ts, with the rows they hold as JSON.

Run by hand when a case is added; the results in parquet/ are committed:

    pip install pyarrow
    python make-parquet.py
"""

import json
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).parent / "parquet"

CHAT = [
    {"messages": [{"role": "user", "content": f"Frage {i} – ääh?"}, {"role": "assistant", "content": f"答案 {i} 🙂"}]}
    for i in range(5)
] + [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": "y"},
            {"role": "user", "content": ""},
        ]
    },
    {"messages": []},
]
PAIRS = [{"prompt": f"p{i % 3}", "completion": None if i == 2 else f"completion {i}"} for i in range(40)]
PREFERENCE = [
    {
        "prompt": [{"role": "user", "content": f"q{i}"}],
        "chosen": [{"role": "assistant", "content": f"good {i}"}],
        "rejected": [{"role": "assistant", "content": f"bad {i}"}],
    }
    for i in range(3)
]
TEXT = [{"id": i, "text": "word " * i, "score": i / 2} for i in range(1, 6)]

CASES = {
    "chat-snappy": (CHAT, dict(compression="snappy", row_group_size=3)),
    "completion-zstd": (PAIRS, dict(compression="zstd")),
    "completion-v2": (PAIRS, dict(compression="gzip", data_page_version="2.0", row_group_size=7)),
    "preference-plain": (PREFERENCE, dict(compression="none", use_dictionary=False)),
    "text-brotli": (TEXT, dict(compression="brotli")),
    "no-rows": ([], dict()),
}


def main():
    HERE.mkdir(exist_ok=True)
    for name, (rows, options) in CASES.items():
        table = pa.Table.from_pylist(rows) if rows else pa.table({"text": pa.array([], pa.string())})
        pq.write_table(table, HERE / f"{name}.parquet", **options)
        (HERE / f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False) + "\n")
    table = pa.table({"text": pa.array([b"good", b"\xff\xfe bad"], pa.binary())})
    pq.write_table(table, HERE / "not-utf8.parquet")
    pq.write_table(pa.table({"age": [1, 2]}), HERE / "other-columns.parquet")
    # Few bytes that stand for many values: more than the decoder's memory.
    many = pa.table({"text": pa.DictionaryArray.from_arrays(pa.array([0] * 8_000_000, pa.int8()), ["x"])})
    options = dict(compression="zstd", row_group_size=2**24, data_page_size=2**30, write_batch_size=2**24)
    pq.write_table(many, HERE / "bomb.parquet", write_statistics=False, store_schema=False, **options)


if __name__ == "__main__":
    main()
