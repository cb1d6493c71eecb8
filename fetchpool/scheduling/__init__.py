"""Which request may start now, and what follows an attempt. No asyncio, no clock, no I/O."""
