"""The closing paragraph follows the figures, whichever way they turn out."""

from __future__ import annotations

from ringzero.compare.claims import CALLED, SENSITIVE, paragraph
from ringzero.compare.measure import Cost, Workload


def column(each: float, once: float = 0.0) -> dict[str, Cost]:
    return {name: Cost(name, {"below": each}, {}, once) for name in SENSITIVE}


def run(total: int, exits: int) -> Workload:
    return Workload("boot", {"kernel": total}, {"any": exits}, 1.0)


WORKS = {"native": run(100, 0), "trap": run(200, 50), "translate": run(120, 5),
         "paravirt": run(110, 2)}  # fmt: skip


def test_all_claims_with_their_numbers() -> None:
    costs = {"native": column(3), "trap": column(400), "translate": column(100, 300.0),
             "paravirt": column(50)}  # fmt: skip
    text = paragraph(costs, WORKS)
    assert "Translation beats trapping" in text
    assert "4.00×" in text
    assert "5 exits and 120 instructions instead of 50 and 200" in text
    assert f"less in {len(CALLED)} of {len(CALLED)}" in text
    assert "Hypercalls cost less than translation" in text
    assert "system call 50 against 100" in text
    # nine operations cost 300 once, and each round saves 300
    assert "costs 2,700 instructions" in text
    assert "which 1 rounds" in text
    assert "least under paravirt" in text


def test_the_other_way_round() -> None:
    costs = {"native": column(3), "trap": column(100), "translate": column(400, 10.0),
             "paravirt": column(500)}  # fmt: skip
    text = paragraph(costs, WORKS)
    assert "Translation does not beat trapping" in text
    assert "0.25×" in text
    assert "do not always cost less than translation: less in 0 of 5" in text
    assert "never earned back" in text
    assert "least under trap" in text


def test_missing_columns_are_left_out() -> None:
    assert paragraph({}, {}) == ""
    assert paragraph({"native": column(3)}, {}) == ""
    text = paragraph({"native": column(3), "trap": column(400), "paravirt": column(50)}, {})
    assert "Hypercalls cost less than trapping" in text
    assert "Translation" not in text
    part = {"trap": {"timer_set": Cost("timer_set", {"below": 9.0}, {})}, "paravirt": column(1)}
    assert "less in 1 of 1" in paragraph(part, {})


def test_an_unmodified_kernel_says_nothing_of_hypercalls() -> None:
    costs = {"trap": column(400), "translate": column(100), "paravirt": column(50)}
    text = paragraph(costs, {**WORKS, "paravirt": WORKS["trap"]})
    assert "the workload's kernel is not modified" in text
    assert "50 exits and 200 instructions instead of 5" not in text
