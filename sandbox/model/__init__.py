"""The sandbox model: rules that answer from the evidence in a request, in place of an AI."""
