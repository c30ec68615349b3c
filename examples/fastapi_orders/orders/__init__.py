"""A FastAPI service that takes orders and confirms them in the background."""
