"""`prepare`: who is on SAML, and the way back of each, from every source that knows one.

merge      what several sources say becomes one inventory, with its conflicts; pure
csv_file   a list of an identity provider or of a database, read strictly
directory  the directory behind the identity provider, by LDAP
sql        Mattermost's own database, read only
prepare    the run as a whole
"""

from conversion.inventory.csv_file import read_csv
from conversion.inventory.merge import Conflict, Key, Merge, Prepared, Said
from conversion.inventory.prepare import from_export, prepare
from conversion.inventory.sql import read_sql

__all__ = [
    "Conflict",
    "Key",
    "Merge",
    "Prepared",
    "Said",
    "from_export",
    "prepare",
    "read_csv",
    "read_sql",
]
