"""Entries of journals keep the published schema: `python schema.py SCHEMA JOURNAL...`. Needs jsonschema."""

import json
import sys

import jsonschema

schema = json.load(open(sys.argv[1]))
jsonschema.Draft202012Validator.check_schema(schema)
validator = jsonschema.Draft202012Validator(schema)
for journal in sys.argv[2:]:
    entries = [json.loads(line[17:]) for line in open(journal)]
    for entry in entries:
        for fault in validator.iter_errors(entry):
            sys.exit(f"{journal}: {fault.json_path}: {fault.message[:300]}")
    print(f"{journal}: {len(entries)} entries keep the schema")
