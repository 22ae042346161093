"""Who is asking."""

from pydantic import BaseModel, ConfigDict, Field

from service.domain.access import AccessScope


class SessionView(BaseModel):
    """Who is asking, and whether people can sign in."""

    model_config = ConfigDict(frozen=True)

    signed_in: bool = Field(description="Whether a person has signed in on the page.")
    name: str | None = Field(
        description="Name of the person or the key; null: nobody is known, or a key without a name was sent."
    )
    project: str | None = Field(description="What the caller sees; null: nothing.")
    scopes: list[AccessScope] = Field(description="What the caller may do there.")
    offers_sign_in: bool = Field(description="Whether `/sign-in` leads to a provider.")
