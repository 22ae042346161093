"""batches.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("reviews", sa.Column("batch", sa.String(), nullable=True))
    op.create_index("ix_reviews_job_id_batch", "reviews", ["job_id", "batch"], unique=False)


def downgrade() -> None:
    """Take back."""
    op.drop_index("ix_reviews_job_id_batch", table_name="reviews")
    op.drop_column("reviews", "batch")
