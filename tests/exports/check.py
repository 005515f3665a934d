"""Exported files read back equal in pandas, polars and duckdb, and the documentation's snippets run.

    python check.py LLEM RESULTS...

Needs pandas, pyarrow, polars and duckdb. Each of RESULTS is a results directory.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import duckdb
import pandas
import polars

DOCUMENT = Path(__file__).parents[2] / "docs" / "results.md"


def export(llem, results, kind, rows, path):
    subprocess.run(
        [llem, "export", results, "--format", kind, "--rows", rows, "-o", path],
        check=True,
        stdout=subprocess.DEVNULL,
    )


def plain(value):
    """A value as every reader can give it; numbers as floats, missing as None."""
    if value is None or value is pandas.NA or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "item"):
        return plain(value.item())
    if isinstance(value, bool) or isinstance(value, str):
        return value
    if isinstance(value, int):
        return float(value)
    if isinstance(value, float):
        return value
    raise TypeError(f"{type(value)}: {value!r}")


def table(columns, rows):
    return list(columns), [[plain(cell) for cell in row] for row in rows]


def of_pandas(frame):
    # Columns with gaps would turn whole numbers and truth values into objects and floats; `plain` undoes that.
    return table(frame.columns, frame.astype(object).itertuples(index=False, name=None))


def of_polars(frame):
    return table(frame.columns, frame.iter_rows())


def of_duckdb(relation):
    return table(relation.columns, relation.fetchall())


def in_order(found, columns):
    """The same with columns in this order: those of a JSON object have none."""
    names, rows = found
    places = [names.index(it) for it in columns]
    return list(columns), [[row[it] for it in places] for row in rows] if len(names) == len(columns) else rows


def quoted(name):
    return "'" + name.replace("'", "''") + "'"


def readers(directory, lines):
    """Each file by each reader. Neither CSV nor JSON says that a text is no time, so a reader is told what is text."""
    parquet, csv, jsonl = (str(directory / f"table.{it}") for it in ("parquet", "csv", "jsonl"))
    columns = {name: {type(line[name]) for line in lines} - {type(None)} for name in lines[0]}
    texts = [name for name, types in columns.items() if types == {str}]
    kinds = {name: "VARCHAR" if name in texts else "BOOLEAN" if types == {bool} else "DOUBLE" for name, types in columns.items()}
    varchar = ", ".join(f"{quoted(it)}: 'VARCHAR'" for it in texts)
    typed = ", ".join(f"{quoted(name)}: '{kind}'" for name, kind in kinds.items())
    text = {name: str for name in texts}
    strings = {name: polars.String for name in texts}
    yield "pandas parquet", of_pandas(pandas.read_parquet(parquet))
    yield "polars parquet", of_polars(polars.read_parquet(parquet))
    yield "duckdb parquet", of_duckdb(duckdb.sql(f"select * from '{parquet}'"))
    yield "pandas csv", of_pandas(pandas.read_csv(csv, dtype=text, float_precision="round_trip"))
    # polars leaves quotation marks in headers doubled, and then names of columns do not match.
    odd = {name.replace('"', '""'): name for name in columns if '"' in name}
    doubled = {name.replace('"', '""'): polars.String for name in strings}
    yield "polars csv", of_polars(polars.read_csv(csv, schema_overrides=doubled, infer_schema_length=None).rename(odd))
    yield "duckdb csv", of_duckdb(duckdb.sql(
        f"select * from read_csv('{csv}', types = {{{varchar}}}, sample_size = -1, header = true, max_line_size = 10000000)"))
    yield "pandas jsonl", of_pandas(pandas.DataFrame(json.loads(it) for it in open(jsonl)))
    yield "polars jsonl", of_polars(polars.read_ndjson(jsonl, infer_schema_length=None))
    yield "duckdb jsonl", of_duckdb(duckdb.sql(
        f"select * from read_json('{jsonl}', format = 'newline_delimited', columns = {{{typed}}}, maximum_object_size = 100000000)"))


def check_tables(llem, results):
    for rows in ("trials", "experiments"):
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            for kind in ("parquet", "csv", "jsonl"):
                export(llem, results, kind, rows, directory / f"table.{kind}")
            lines = [json.loads(it) for it in (directory / "table.jsonl").read_text().split("\n") if it]
            columns = list(lines[0])
            expected = table(columns, ([line[it] for it in columns] for line in lines))
            for reader, found in readers(directory, lines):
                if reader.endswith("jsonl"):
                    found = in_order(found, columns)
                assert found[0] == expected[0], f"{results}: {reader}: {found[0]}"
                assert len(found[1]) == len(expected[1]), f"{results}: {reader}: {len(found[1])} rows"
                for at, (one, other) in enumerate(zip(found[1], expected[1])):
                    for column, left, right in zip(columns, one, other):
                        assert left == right and type(left) is type(right), f"{results}: {reader}: row {at}: {column}: {left!r} is not {right!r}"
            print(f"{results}: {rows}: {len(lines)} rows of {len(columns)} columns are the same in every reader")


def check_snippets(llem, results):
    blocks = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.S)
    assert len(blocks) >= 4, f"{len(blocks)} snippets"
    with tempfile.TemporaryDirectory() as directory:
        os.symlink(os.path.abspath(results), f"{directory}/results")
        for kind in ("parquet", "csv", "jsonl"):
            export(llem, results, kind, "trials", f"{directory}/trials.{kind}")
        export(llem, results, "parquet", "experiments", f"{directory}/experiments.parquet")
        means = {}
        before = os.getcwd()
        os.chdir(directory)
        for block in blocks:
            names = {}
            exec(compile(block, str(DOCUMENT), "exec"), names)
            if "energy" in names:
                energy = names["energy"]
                if isinstance(energy, pandas.Series):
                    means["pandas"] = energy.to_dict()
                elif isinstance(energy, polars.DataFrame):
                    means["polars"] = dict(energy.iter_rows())
                else:
                    means["duckdb"] = dict(energy)
        os.chdir(before)
    assert set(means) == {"pandas", "polars", "duckdb"}, means
    for label, mean in means["pandas"].items():
        for tool in ("polars", "duckdb"):
            assert math.isclose(mean, means[tool][label], rel_tol=1e-12), (label, means)
    print(f"{len(blocks)} snippets run and agree")


def main():
    llem, *results = sys.argv[1:]
    llem = os.path.abspath(llem)
    for it in results:
        check_tables(llem, it)
    check_snippets(llem, results[0])


main()
