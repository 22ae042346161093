"""What is wrong in the data of a job beside its labels: one module for each type (service.domain.issue)."""
