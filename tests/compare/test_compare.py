"""The comparison's figures, from a short measurement of the bundled guest under each technique."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ElementTree

import pytest

from ringzero import guests
from ringzero.compare.chart import svg
from ringzero.compare.measure import CompareError, Cost, operations, workload
from ringzero.compare.results import TITLES, Results
from ringzero.compare.techniques import TECHNIQUES, Sample, Task

Costs = dict[str, dict[str, Cost]]


@pytest.fixture(scope="module")
def costs() -> Costs:
    kernel = guests.build("kernel")
    return {
        name: operations(technique, kernel, counts=(20, 120))
        for name, technique in TECHNIQUES.items()
    }


@pytest.fixture(scope="module")
def results(costs: Costs) -> Results:
    task = Task("self-tests", guests.build("kernel"), append="mode=test")
    works = {name: workload(one, task, "interpreter") for name, one in TECHNIQUES.items()}
    return Results("self-tests", costs, works)


def test_every_operation_has_a_title_and_is_in_each_column(costs: Costs) -> None:
    for by_name in costs.values():
        assert set(by_name) == set(TITLES)


def test_what_is_not_privileged_costs_the_same(costs: Costs) -> None:
    for name in ("call", "loop"):
        bare, trap = costs["native"][name], costs["trap"][name]
        assert trap.total == pytest.approx(bare.total, abs=1.5)
        assert not trap.exits


def test_each_privileged_read_is_one_exit(costs: Costs) -> None:
    cost = costs["trap"]["csr_read"]
    assert cost.exits == {"csr sstatus": 1.0}
    assert cost.worlds["kernel"] == pytest.approx(3, abs=1)
    assert 50 < cost.worlds["below"] < 200
    assert costs["trap"]["interrupt_toggle"].exits == {"csr sstatus": 2.0}


def test_the_guest_executes_the_same_under_each_technique(costs: Costs) -> None:
    for name in TITLES:
        bare, trap = costs["native"][name].worlds, costs["trap"][name].worlds
        assert trap["kernel"] == pytest.approx(bare["kernel"], abs=12), name
        assert trap["user"] == pytest.approx(bare["user"], abs=2), name


def test_native_traps_are_the_guests_own(costs: Costs) -> None:
    native = costs["native"]
    assert native["hypercall"].exits == {"environment call from S-mode": 1.0}
    assert native["exception"].exits == {"breakpoint": 1.0}
    assert native["csr_read"].worlds["below"] < 0.5  # the firmware prints longer numbers
    assert native["hypercall"].worlds["below"] > 20


def test_hardware_leaves_calls_and_devices_to_the_hypervisor(costs: Costs) -> None:
    exits = {name: cost.exits for name, cost in costs["hardware"].items() if cost.exits}
    assert exits == {
        "hypercall": {"call other": 1.0},
        "timer_set": {"call timer": 1.0},
        "device_read": {"instruction load": 1.0},
        "context_switch": {"call timer": pytest.approx(1, abs=0.1)},
    }
    for name, cost in costs["hardware"].items():
        bare = costs["native"][name].worlds
        assert cost.worlds["kernel"] == pytest.approx(bare["kernel"], abs=12), name


def test_a_walk_of_two_stages_reads_more_entries(costs: Costs) -> None:
    read = {name: costs[name]["tlb_miss"].translation for name in ("native", "trap", "hardware")}
    assert read["native"] == pytest.approx({"refills": 1, "S": 3, "VS": 0, "G": 0}, abs=0.1)
    assert read["trap"] == pytest.approx({"refills": 1, "S": 3, "VS": 0, "G": 0}, abs=0.2)
    # three of the guest's (Sv39), and two of the G-stage (2 MiB pages) for each and for the page
    assert read["hardware"] == pytest.approx({"refills": 1, "S": 0, "VS": 3, "G": 8}, abs=0.1)
    assert not any(costs["native"]["csr_read"].translation.values())


def test_where_shadow_wins_and_where_two_stages_do(results: Results) -> None:
    rows = {row.operation: row for row in results.paging()}
    fault = rows["page_fault"]
    assert fault.verdict.startswith("two stages")
    assert fault.price is None or fault.price > 100  # far above what a reading costs anywhere
    missing = rows["tlb_miss"]
    assert missing.verdict == "shadow" or (missing.price or 0) < 3
    assert rows["page_table_update"].verdict.startswith("two stages up to")
    assert (rows["space_switch"].price or 0) > 10
    told = results.data()["paging"]["page_fault"]
    assert told == {"price": fault.price, "verdict": fault.verdict}


def test_equal_measurements_have_equal_figures(costs: Costs) -> None:
    again = operations(TECHNIQUES["trap"], guests.build("kernel"), counts=(20, 120))
    assert again == costs["trap"]


def test_results_are_data_and_tables(results: Results) -> None:
    from rich.console import Console

    data = json.loads(json.dumps(results.data()))
    assert data["operations"]["trap"]["csr_read"]["exits"] == {"csr sstatus": 1.0}
    assert data["workloads"]["trap"]["total"] > 1_000_000
    written = io.StringIO()
    results.show(Console(width=180, no_color=True, file=written))
    shown = written.getvalue()
    assert "privileged CSR read" in shown
    assert "1 csr sstatus" in shown
    assert f"{data['workloads']['native']['total']:,}" in shown


def test_chart_has_a_bar_for_each_operation_and_technique(results: Results) -> None:
    root = ElementTree.fromstring(svg(results))
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert all(title in texts for title in TITLES.values())
    assert texts.count("trap") == texts.count("native") == len(TITLES)
    orange = [one for one in root.iter(f"{space}rect") if one.get("fill") == "#c8702a"]
    assert len(orange) > 10


def test_samples_subtract() -> None:
    sample = Sample()
    sample.worlds["user"] = 5
    later = Sample()
    later.worlds["user"] = 12
    assert later.since(sample).worlds["user"] == 7


def test_a_guest_that_measures_nothing_is_named() -> None:
    from ringzero.compare.measure import _watched

    task = Task("the self-tests", guests.build("kernel"), append="mode=test")
    with pytest.raises(CompareError, match="the self-tests did not measure anything under native"):
        _watched(TECHNIQUES["native"], task, "interpreter")


@pytest.mark.slow
@pytest.mark.needs_debian
def test_debian_boots_with_few_more_instructions(debian_image: object) -> None:
    kernel, initrd = debian_image.kernel, debian_image.initrd  # type: ignore[attr-defined]
    words = "console=ttyS0 quiet cryptomgr.notests ringzero.run=true"  # others follow the time
    task = Task("boot", kernel, initrd, words, 512 << 20)
    names = ("native", "trap", "hardware")
    bare, trap, hardware = (workload(TECHNIQUES[name], task) for name in names)
    assert trap.total < bare.total * 1.25
    assert 300_000 < sum(trap.exits.values()) < 500_000
    assert hardware.total < bare.total * 1.01
    assert sum(hardware.exits.values()) < 2000


def test_more_words_for_the_kernel_are_told() -> None:
    from click.testing import CliRunner

    from ringzero.cli.commands.compare import compare

    words = ["guest", "--techniques", "native", "-a", "extra=1", "--json"]
    done = CliRunner().invoke(compare, words, standalone_mode=False)
    assert done.exception is None
    data = json.loads(done.stdout)
    assert data["guest"].endswith("with extra=1")
    assert data["workloads"]["native"]["total"] > 0
