"""The log: one JSON object a line on standard error, control characters escaped (OPS-01).

No assertion, password, cookie or token is ever given to it, and people are not named in it.
"""

from __future__ import annotations

import logging
import sys

import structlog


def configure(least: int = logging.INFO) -> None:
    """Set up structlog, and pass what libraries log through the same renderer. Nothing below
    `least` is logged.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.ExceptionRenderer(
            # Without the local variables: they hold assertions and cookies (OPS-01).
            structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
        ),
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        # A line in one call: print makes two, between which another worker's line could come.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processor=structlog.processors.JSONRenderer()
        )
    )
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
