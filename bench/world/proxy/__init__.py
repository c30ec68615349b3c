"""A TCP proxy that makes a network bad on purpose. Standard library only; usable by itself.

    async with Proxy(("127.0.0.1", 6379)) as proxy:          # proxy.address is what clients connect to
        proxy.add(Toxic("latency", {"latency": 50, "jitter": 10}))
        proxy.add(Toxic("limit_data", {"bytes": 1000}, stream="upstream", toxicity=0.5))
        await proxy.down()                                   # connections are refused …
        await proxy.up()                                     # … and taken again, on the same port
        proxy.half_open()                                    # the present connections go dead, unannounced
        proxy.reset()                                        # … or get an RST
        proxy.clear()

From another program: `python -m bench.world.proxy --help`, and `bench.world.proxy.control` for its HTTP
interface. The names are Toxiproxy's, so that its users need to learn none:

| toxic      | attributes                     | what happens to the bytes of a stream                        |
|------------|--------------------------------|--------------------------------------------------------------|
| latency    | latency, jitter (ms)           | each comes so much later; order is kept                      |
| bandwidth  | rate (kB/s)                    | no more than that                                            |
| slicer     | average_size (bytes), delay (ms) | in pieces of about that size, with a pause after each      |
| limit_data | bytes                          | after so many the connection is closed; more never arrive    |
| timeout    | timeout (ms)                   | all vanish (a black hole); closed after the time, 0: never   |
| reset_peer | timeout (ms)                   | the connection ends in an RST after it; 0: at the next byte  |

`stream` is downstream (what the client receives; the default), upstream, or both. `toxicity` is the
share of connections that a toxic hits. A toxic counts at once, for connections that exist as well.
"""

from bench.world.proxy.server import Proxy
from bench.world.proxy.toxics import Toxic, ToxicError

__all__ = ["Proxy", "Toxic", "ToxicError"]
