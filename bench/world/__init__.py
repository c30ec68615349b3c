"""The world that the sides run in: broker, outside services, mail."""

#: Of a standing world: raised by one whenever a request or an answer changes its meaning.
PROTOCOL = 1
