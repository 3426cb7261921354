"""What the official library makes of the schemas in fbs/: `make fbs` writes the files beside this one."""
