"""Audits: how many labels are wrong, measured by reviews of samples that were drawn with known probabilities.

The method is sampling without replacement with unequal probabilities and betting martingales, which stay valid however often one
looks (Waudby-Smith and Ramdas 2020 and 2023; Shekhar et al., arXiv:2305.06884). The ranking decides how narrow an interval is,
never whether it holds. NumPy alone: storing and serving are done elsewhere.
"""
