"""Settings that contradict each other."""

import pytest
from pydantic import ValidationError

from service.settings import Settings


@pytest.mark.parametrize("lease", [1.0, 5.0])
def test_a_lease_that_ends_before_the_next_sign_of_life_is_refused(lease: float) -> None:
    with pytest.raises(
        ValidationError, match=r"SUSPECTS_LEASE_SECONDS .* must be longer than SUSPECTS_HEARTBEAT_SECONDS"
    ):
        Settings(lease_seconds=lease, heartbeat_seconds=5)
    assert Settings(lease_seconds=5.5, heartbeat_seconds=5).lease_seconds == 5.5
