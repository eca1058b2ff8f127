"""This module checks whether Redis may be used as a queue."""

from jobqueue.service.health import HealthProblem, HealthWarning, ProblemCode, WarningCode
from jobqueue.store.connection import Connection


class Readiness(Connection):
    """This part checks the version and the settings of the Redis server."""

    def problem(self) -> HealthProblem | None:
        """Return why Redis must not be used as a queue; None when it may be used."""
        with self._translated():
            version = str(self._redis.info("server").get("redis_version", "0"))
        if int(version.split(".")[0]) < 6:
            text = f"Redis {version} is too old; gpuq needs Redis 6 or newer, or Valkey."
            return HealthProblem(ProblemCode.REDIS_TOO_OLD, text)
        policy = self._config("maxmemory-policy")
        if policy and policy != "noeviction":
            text = (
                f"Redis may evict queued jobs (maxmemory-policy {policy}); "
                "fix it with: redis-cli config set maxmemory-policy noeviction"
            )
            return HealthProblem(ProblemCode.REDIS_EVICTS, text)
        return None

    def warnings(self) -> list[HealthWarning]:
        """Return what weakens the promise that an acknowledged job is never lost."""
        appendonly, fsync = self._config("appendonly"), self._config("appendfsync")
        if appendonly is None:
            text = (
                "Redis does not show its durability settings (CONFIG is refused); "
                "check that appendonly is yes."
            )
            return [HealthWarning(WarningCode.CONFIG_REFUSED, text)]
        if appendonly != "yes":
            text = (
                "Redis keeps no append-only file, so a crash loses the queue; "
                "set appendonly yes and appendfsync always."
            )
            return [HealthWarning(WarningCode.AOF_OFF, text)]
        if fsync != "always":
            text = (
                f"Redis writes its file with appendfsync {fsync}, so a crash may lose the last "
                "second; set appendfsync always."
            )
            return [HealthWarning(WarningCode.APPENDFSYNC_NOT_ALWAYS, text)]
        return []
