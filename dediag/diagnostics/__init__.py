"""One file, one question; being here is being registered."""
