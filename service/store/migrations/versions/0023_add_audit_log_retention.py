"""Add audit log retention.

Revision ID: 0023
Revises: 0022
"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_REFUSAL = "rows of audit_log are never changed or deleted"
_SQLITE = f"""
CREATE TRIGGER audit_log_DELETE BEFORE DELETE ON audit_log {{when}}
BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END
"""
_WHEN_KEPT = "WHEN NOT EXISTS (SELECT 1 FROM audit_log_retention WHERE OLD.at < older_than)"
_POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN {{first}} RAISE EXCEPTION '{_REFUSAL}'; END $$
"""
_LET_OLD_GO = """
IF TG_OP = 'DELETE' THEN
  IF EXISTS (SELECT 1 FROM audit_log_retention WHERE OLD.at < older_than) THEN RETURN OLD; END IF;
END IF;
"""


def _replace_triggers(when: str, first: str) -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER audit_log_DELETE")
        op.execute(_SQLITE.format(when=when))
    else:
        op.execute(_POSTGRESQL.format(first=first))


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_log_retention",
        sa.Column("older_than", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("older_than", name=op.f("pk_audit_log_retention")),
    )
    _replace_triggers(_WHEN_KEPT, _LET_OLD_GO)


def downgrade() -> None:
    """Take back."""
    _replace_triggers("", "")
    op.drop_table("audit_log_retention")
