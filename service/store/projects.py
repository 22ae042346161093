"""Projects: which rows a connection may see, and to which project new rows belong.

Datasets, jobs, networks and connections of labelling tools have a project. Everything else belongs to one of them and is
reached through it. A connection of a scoped database (`Database.of`) sees the rows of its project alone; what runs in the
background sees all.
"""

import sqlalchemy as sa

from service.domain.access import DEFAULT_PROJECT


def project_of(connection: sa.Connection) -> str | None:
    """The project that the connection is restricted to; None: it sees all."""
    project: str | None = connection.get_execution_options().get("suspects_project")
    return project


def visible(connection: sa.Connection, table: sa.Table) -> sa.ColumnElement[bool]:
    """The condition that a row of one of the four tables may be seen over this connection."""
    project = project_of(connection)
    return sa.true() if project is None else table.c.project == project


def is_visible(connection: sa.Connection, project: str) -> bool:
    """Whether a row of this project may be seen over this connection."""
    return project_of(connection) in (None, project)


def project_of_new_rows(connection: sa.Connection) -> str:
    """The project that a row written over this connection belongs to."""
    return project_of(connection) or DEFAULT_PROJECT


def unique_in_project(connection: sa.Connection, text: str) -> str:
    """A digest or a client's key, for a column that is unique over all projects.

    Projects never share a row: who uploads a file must not learn that another project has it.
    """
    return unique_in(project_of_new_rows(connection), text)


def unique_in(project: str, text: str) -> str:
    """The same for a project that is known."""
    # Neither a header nor a digest holds a line break, so no text of one project is that of another.
    return text if project == DEFAULT_PROJECT else f"{project}\n{text}"
