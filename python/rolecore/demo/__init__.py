"""What `rolecore demo` runs, and the two chats it replays."""
