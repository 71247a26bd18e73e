from marl.base.display import Display
from marl.base.terminal import Terminal


def test_the_time_left_follows_from_this_session_alone():
    """What was done before has taken none of this session's time."""
    display = Display("run", 1000, "games", Terminal(quiet=True), done=900)
    display.advance_to(910)
    display.advance_to(930)
    [task] = display._bar.tasks
    assert task.completed == 930 and [sample.completed for sample in task._progress] == [10, 20]
