"""Adapters: what answers a prompt. One file each; `AIAgent` is what they all are."""
