"""chains.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_KNOWN = """
UPDATE reviews SET given_label = (
    SELECT suspects.given_label FROM suspects
    WHERE suspects.job_id = reviews.job_id AND suspects.sample_id = reviews.sample_id
)
"""


def upgrade() -> None:
    """Apply."""
    with op.batch_alter_table("loops", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_loops_next_job_id"), ["next_job_id"], unique=False)

    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.add_column(sa.Column("given_label", sa.String(), nullable=True))

    op.execute(_KNOWN)


def downgrade() -> None:
    """Take back."""
    with op.batch_alter_table("reviews", schema=None) as batch_op:
        batch_op.drop_column("given_label")

    with op.batch_alter_table("loops", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_loops_next_job_id"))
