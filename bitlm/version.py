"""The version of BitLM, recorded with every run."""

VERSION = "0.1.0"
