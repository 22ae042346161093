"""File and task formats of labelling tools. Pure: no I/O, and no imports but service.domain."""
