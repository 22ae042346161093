"""Quality of the people who labelled: how far they agree, and whose labels are doubted more often than chance explains.

NumPy alone: reading votes and serving answers are done elsewhere. v votes are arrays in the order of their samples; a person has
one vote on a sample. Samples, annotators and classes are numbers from 0 on.
"""
