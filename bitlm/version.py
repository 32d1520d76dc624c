"""The version of BitLM, recorded with every run."""

VERSION = "0.2.0"
