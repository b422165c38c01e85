"""Refits: which samples or simulated counts (plans), how they are drawn, and running them."""
