"""Role sessions: many roles that talk at once, each with its state, its timers and its mailbox; idle ones are cheap."""
