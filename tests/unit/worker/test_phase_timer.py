"""Time of a job by phase."""

from pathlib import Path

from worker.job.phase_timer import PhaseTimer


def test_the_time_of_a_phase_is_that_of_all_attempts(tmp_path: Path) -> None:
    clock, path = [0.0], tmp_path / "job" / "timings.json"

    def pass_time(seconds: float) -> None:
        clock[0] += seconds

    first = PhaseTimer(path, lambda: clock[0])
    pass_time(2)
    first.lap("preparing_s")
    pass_time(10)
    first.keep("training_s")
    pass_time(0.5)
    first.keep("training_s")  # too soon to be written; then the worker is killed
    second = PhaseTimer(path, lambda: clock[0])
    pass_time(1)
    second.lap("preparing_s")
    pass_time(20)
    second.keep("training_s")
    second.lap("training_s")
    assert second.laps == {"preparing_s": 3.0, "training_s": 30.0}
    path.write_text("cut o")  # a damaged file costs the times of earlier attempts
    assert PhaseTimer(path, lambda: clock[0]).laps == {}
