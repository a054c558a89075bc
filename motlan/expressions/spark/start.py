"""Starts Spark, once in a process, and says what is missing where it cannot be had. It needs no part of the extra to be read."""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
from functools import cache
from typing import Any

from motlan.errors import ConfigurationError
from motlan.expressions.spark.dialect import SPARK_SETTINGS

LOCAL_SETTINGS = {
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.ui.enabled": "false",
    # What only its page would show, and what fills its memory all the same: what each query's plan looks like, and each job.
    "spark.sql.ui.explainMode": "simple",
    "spark.sql.debug.maxToStringFields": "1",
    "spark.sql.maxPlanStringLength": "100",
    "spark.sql.ui.retainedExecutions": "1",
    "spark.ui.retainedJobs": "1",
    "spark.ui.retainedStages": "1",
    "spark.ui.retainedTasks": "1",
}
"""What a master in this process needs: no port that others reach, and no more tasks than a small machine has use for."""
PLANNING = {"spark.sql.constraintPropagation.enabled": "false"}
"""Constraints cost planning, and those of a checkpoint in a union may name columns that are not there (an error of Spark 4.3)."""
QUIET = {"spark.log.level": "OFF", "spark.ui.showConsoleProgress": "false"}
"""Spark's log quotes values."""


@cache
def java_version() -> int:
    """Return the major version of the Java that Spark would start; 0 where there is none."""
    java = shutil.which("java")
    if java is None:
        return 0
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    return int(version[1]) if version else 0


def start(master: str) -> Any:
    """Return the process's Spark session, started where it was not.

    Raises:
        ConfigurationError: pyspark or Java is missing, or the master does not answer.
    """
    try:
        from py4j.protocol import Py4JError
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise ConfigurationError(
            "pyspark is not installed", where="MOTLAN_ENGINE=spark", next_step="uv pip install -e '.[spark]'"
        ) from None
    if java_version() < 17:
        raise ConfigurationError(
            "Spark needs Java 17 or newer on the path",
            where="MOTLAN_ENGINE=spark",
            next_step="install it, such as by `apt-get install openjdk-17-jre-headless`, or unset MOTLAN_ENGINE.",
        )
    logging.getLogger("SQLQueryContextLogger").disabled = True
    try:
        return SparkSession.builder.master(master).appName("motlan").config(map=settings(master)).getOrCreate()
    except (PySparkException, Py4JError, RuntimeError) as error:
        raise ConfigurationError(
            f"Spark did not start ({type(error).__name__})",
            where=f"MOTLAN_SPARK_MASTER={master}",
            next_step="check the master's URL, and that its workers reach this machine.",
        ) from None


def settings(master: str) -> dict[str, Any]:
    """Return the settings of a session on a master."""
    return SPARK_SETTINGS | PLANNING | QUIET | (LOCAL_SETTINGS if master.startswith("local") else {})
