"""schema compatibility.

Revision ID: 0015
Revises: 0014
"""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "schema_compatibility",
        sa.Column("oldest_code", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("oldest_code", name=op.f("pk_schema_compatibility")),
    )


def downgrade() -> None:
    """Take back."""
    op.drop_table("schema_compatibility")
