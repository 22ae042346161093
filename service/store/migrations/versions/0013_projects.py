"""projects, keys, audit log.

Revision ID: 0013
Revises: 0012
"""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_OF_PROJECTS = ("datasets", "jobs", "networks", "connections")
# The log is only added to. SQLite and PostgreSQL say it in words of their own.
_SQLITE = """
CREATE TRIGGER audit_log_{event} BEFORE {event} ON audit_log
BEGIN SELECT RAISE(ABORT, 'rows of audit_log are never changed or deleted'); END
"""
_POSTGRESQL = (
    """
CREATE FUNCTION audit_log_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'rows of audit_log are never changed or deleted'; END $$
""",
    "CREATE TRIGGER audit_log_refuse BEFORE UPDATE OR DELETE ON audit_log FOR EACH ROW EXECUTE FUNCTION audit_log_refuse()",
)


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "audit_log",
        sa.Column("seq", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("project", sa.String(), nullable=True),
        sa.Column("key", sa.String(), nullable=True),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("address", sa.String(), nullable=True),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("path", sa.String(), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("request_id", sa.String(), nullable=True),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_project_seq", "audit_log", ["project", "seq"])
    op.create_table(
        "keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("project", sa.String(), nullable=False),
        sa.Column("quota", sa.JSON(), nullable=False),
        sa.Column("hash", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_keys")),
    )
    op.create_index("ix_keys_created_at_id", "keys", ["created_at", "id"])
    # Without batch mode: it copies a table and drops the old one, and what refers to the rows would go with them.
    for table in _OF_PROJECTS:
        op.add_column(table, sa.Column("project", sa.String(), server_default="default", nullable=False))
        op.drop_index(f"ix_{table}_created_at_id", table)
        op.create_index(f"ix_{table}_project_created_at_id", table, ["project", "created_at", "id"])
    if op.get_bind().dialect.name == "sqlite":
        for event in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(event=event))
    else:
        for statement in _POSTGRESQL:
            op.execute(statement)


def downgrade() -> None:
    """Take back. Resources of all projects are then in one place, as they were before."""
    for table in _OF_PROJECTS:
        op.drop_index(f"ix_{table}_project_created_at_id", table)
        op.create_index(f"ix_{table}_created_at_id", table, ["created_at", "id"])
        op.drop_column(table, "project")
    op.drop_table("keys")
    op.drop_table("audit_log")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_log_refuse()")
