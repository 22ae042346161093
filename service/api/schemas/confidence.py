"""What is said of the confidence of suggestions wherever it stands."""

CONFIDENCE = (
    "What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the suggested label. "
    "order: the higher, the surer, and the value is no probability."
)
SUGGESTED_CONFIDENCE = (
    "How sure the suggested label is, from 0 to 1: a probability or only an order, as `confidence` says beside it."
)
