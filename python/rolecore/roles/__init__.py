"""Roles: what each may do and who may use it, the log of their changes in a store, and files that tell of them."""
