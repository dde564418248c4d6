from alembic.config import Config
from alembic.script import ScriptDirectory

from idp_proxy.store import schema


def test_the_shape_that_is_checked_is_the_newest_one_that_alembic_knows() -> None:
    config = Config()
    config.set_main_option("script_location", schema.migrations())
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]
