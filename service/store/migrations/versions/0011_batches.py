"""batches.

Ranks are places in the columns of a ranking (service.store.ranking_columns), so that the table need not hold them.

Revision ID: 0011
Revises: 0010
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_RANKS = ("mislabeled_rank", "anomalous_rank")


def upgrade() -> None:
    """Apply."""
    op.add_column("reviews", sa.Column("batch", sa.String(), nullable=True))
    op.create_index("ix_reviews_job_id_batch", "reviews", ["job_id", "batch"], unique=False)
    for name in _RANKS:
        op.drop_column("suspects", name)


def downgrade() -> None:
    """Take back."""
    for name in _RANKS:
        op.add_column("suspects", sa.Column(name, sa.BigInteger(), nullable=True))
    op.drop_index("ix_reviews_job_id_batch", table_name="reviews")
    op.drop_column("reviews", "batch")
