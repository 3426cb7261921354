"""Embedders that run a model, one a file: here by a local ONNX file, or behind an OpenAI-compatible endpoint.

The one without a model, `rolecore.HashingEmbedder`, is in the Rust core.
"""
