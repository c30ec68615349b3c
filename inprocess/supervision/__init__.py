"""OTP's supervision on asyncio, with the standard library alone. See each module for its contract."""
