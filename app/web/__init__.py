"""The service over HTTP: one route table, one error table, one gate, one socket."""
