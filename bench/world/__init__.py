"""The world that the sides run in: broker, outside services, mail."""
