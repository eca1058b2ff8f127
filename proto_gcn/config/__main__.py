"""Print the JSON Schema of a training config.

`python -m proto_gcn.config > workflows/proto-gcn.schema.json` writes the schema that the queue
manager checks submissions against.
"""

import json

from proto_gcn.config.train import json_schema

if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))
