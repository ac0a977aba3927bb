"""The monitor's own cost, under a clock that the test turns."""

import itertools
import time

import pytest
from toy_loop import dense, play

from equipoise.monitor import Monitor
from equipoise.monitor import monitor as monitor_module
from equipoise.monitor.governor import GRACE, Governor
from equipoise.monitor.observation import Observation


class Clock:
    """Stands until somebody works; `tick` seconds pass at each look."""

    def __init__(self, tick=0.0):
        self.now = 0.0
        self.tick = tick

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture
def clock(monkeypatch):
    turned = Clock()
    monkeypatch.setattr(time, "perf_counter", turned)
    return turned


def simulate(governor, clock, iterations, step=1.0, cost=0.3):
    """Share of time spent after each iteration, and which were read at `cost` seconds each."""
    shares, read = [], []
    for iteration in range(iterations):
        governor.start()
        wanted = governor.reads(iteration)
        clock.now += step
        if wanted:
            seconds = cost(iteration) if callable(cost) else cost
            clock.now += seconds
            governor.charge(seconds / 2, reading=True)  # in a hook
            governor.charge(seconds / 2, reading=True)  # in observe
            read.append(iteration)
        governor.settle(wanted)
        shares.append(governor.share)
    return shares, read


@pytest.mark.parametrize("overhead", [0.01, 0.1, 1.0])
def test_the_share_spent_stays_under_the_overhead(clock, overhead):
    shares, read = simulate(Governor(overhead, "adaptive", 10), clock, 2000)
    settled = int(GRACE * 0.3 / overhead) + GRACE + 1
    assert max(shares[settled:]) <= overhead
    assert read[:GRACE] == list(range(GRACE))
    most = min(overhead / 0.3, 1 / 1.3) * 2000  # an iteration is read once at most
    assert len(read) >= 0.9 * most, "what may be spent is spent"


def test_a_reading_that_costs_more_now_and_then_is_foreseen(clock):
    shares, _ = simulate(
        Governor(0.05, "adaptive", 10), clock, 4000, cost=lambda i: 0.5 if i % 3 else 0.1
    )
    assert max(shares[200:]) <= 0.05


@pytest.mark.parametrize("stride", [1, 7])
def test_a_fixed_schedule_reads_every_stride_whatever_it_costs(clock, stride):
    _, read = simulate(Governor(0.01, "fixed", stride), clock, 50, cost=100.0)
    assert read == list(range(stride - 1, 50, stride))


def test_work_dearer_than_a_reading_gets_its_turn(clock):
    """Readings alone would spend every budget; a purse is saved for."""
    governor, done = Governor(0.01, "adaptive", 10), []
    governor.open("probe")
    for iteration in range(4000):
        governor.start()
        wanted = governor.reads(iteration)
        clock.now += 1.0
        if wanted:
            clock.now += 0.1
            governor.charge(0.1, reading=True)
        if iteration % 50 == 49 and governor.affords(2.0, "probe"):
            clock.now += 2.0
            governor.charge(2.0, reading=False, purse="probe")
            done.append(iteration)
        governor.settle(wanted)
    assert len(done) == pytest.approx(0.3 * 0.01 * 4000 / 2.0, abs=1)
    assert governor.share <= 0.01
    assert Governor(0.01, "fixed", 10).affords(1e9, "probe")


def test_before_the_first_iteration_nothing_is_spent():
    governor = Governor(0.01, "adaptive", 1)
    assert (governor.elapsed, governor.share) == (0.0, 0.0)


def test_the_monitor_says_what_it_spent_and_holds_it(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    read = Observation.read

    def costly(self, *known):
        clock.now += 0.005
        read(self, *known)

    def work(step):
        clock.now += 0.01

    monkeypatch.setattr(Observation, "read", costly)
    state = play(1000, lambda *given: Monitor(*given, tick=10, probes=[]), on_step=work)
    trace = state.monitor.trace()
    spent = trace.series("cost/monitor").values
    assert len(spent) == 100
    assert 0.009 < spent[-1] <= 0.01
    assert spent[21:].max() <= 0.01, "four readings at the start are paid for after 200 iterations"
    assert 15 <= len(trace.series("auc/discriminator")) <= 20


def test_a_fixed_schedule_fills_the_rows_of_its_stride():
    state = play(22, dense(stride=7))
    assert state.monitor.trace().series("auc/discriminator").steps.tolist() == [7, 14, 21]
    gradients = state.monitor.trace().series("gradient_norm/generator")
    assert gradients.steps.tolist() == [7, 14, 21]


def test_rows_close_at_the_tick_with_means_and_extremes():
    monitor = Monitor(None, None, schedule="fixed", stride=1, tick=4)
    for value in (1.0, 2.0, 3.0, 6.0):
        monitor.observe(losses={"d": value}, fid=value * 10)
    trace = monitor.trace()
    assert trace.series("loss/discriminator").steps.tolist() == [4]
    assert trace.series("loss/discriminator").last == 3.0
    assert trace.series("metric/fid").last == 30.0


def test_judging_a_long_run_costs_no_more_than_in_proportion(monkeypatch):
    judged = []
    real_diagnose = monitor_module.diagnose

    def counted(trace):
        judged.append(trace.last_step)
        return real_diagnose(trace)

    monkeypatch.setattr(monitor_module, "diagnose", counted)
    monitor = dense(on_finding=lambda finding: None)(None, None, None, None)
    for _ in range(1000):
        monitor.observe(losses={"d": 1.0})
    assert judged[:20] == list(range(1, 21)), "a fresh run is judged at every tick"
    assert max(b - a for a, b in itertools.pairwise(judged)) <= 1000 / 20
    assert len(judged) < 120
    assert sum(judged) < 25 * 1000, "rows looked at, over all judgements: in proportion to the run"


def test_the_pace_is_that_since_the_last_look(clock):
    governor = Governor(0.01, "adaptive", 1)
    governor.start()
    clock.now = 2.0
    assert governor.pace(100)["speed/images_per_second"] == 50.0
    clock.now = 3.0
    assert governor.pace(400)["speed/images_per_second"] == 300.0
    assert "speed/images_per_second" not in governor.pace(400), "no time has gone by"
