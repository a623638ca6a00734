"""The exact solver `monotonic`: branch, reduce and bound, from the problem to the proof.

**Problem.** max U(S) over feasible S, as `SelectionProblem` states it: for facility location

    U(S) = Σ_i w_i max { q_ij : j ∈ M_c(i)(S) },   Σ_i w_i = 1,

and for its sibling the mean of the k largest. More experts never lower U while masks M stay as they
are; more devices raise idle(S) and can shrink M. Hence two kinds of decision: devices, then experts.

**Box** (`_boxes.py`). inside ⊆ S ⊆ inside ∪ open, devices `on` used and `maybe` undecided, and for
``deployed`` low ≤ idle(S) ≤ high. Masks at the lowest idle energy that expert j could see, max(low,
idle(on ∪ {d(j)})), contain those of every S of the box; room for devices follows from `high`.

**Reduce** (`reduce_box`). Close experts that fit no more, that no category may use, or whose device cannot
be switched on; lower `high` to where each category keeps somebody; take all of a switched-on device
that fits whole, since U is monotone there. A box in which some category keeps nobody is empty.

**Bound**, the least of three.

1. Union: U(inside ∪ open) under the masks above.
2. The parent's.
3. Lagrangian (`_lagrangian.py`; Cornuéjols, Fisher and Nemhauser 1977; Fisher 1981). With z_ij ≤ x_j for
   "j answers i", relax Σ_j z_ij ≤ k by λ_i. For every λ ≥ held_k, with held the k best inside,

       U(S) ≤ L(λ) = Σ_i w_i λ_i + (1/k) Σ_i w_i Σ_{r≤k} (held_ri − λ_i)⁺ + K(ρ(λ)),
       ρ_j(λ) = (1/k) Σ_i w_i (q_ij − λ_i)⁺,   K(ρ) ≥ max { Σ_j ρ_j x_j : x packs }.

   K counts a cost where the constraint does (`_packing.py`): ``active`` adds it over experts, a fractional
   knapsack in a surrogate row (Dantzig 1957; Glover 1968); ``deployed`` pays idle energy once for a
   device, a fractional knapsack over devices, each worth its best maximal load and at most one of a box
   (multiple choice; Sinha and Zoltners 1979). Charging shared idle
   energy to every expert would give a bound that is too low. λ starts from the parent's.

**Fix** (`CoverSearch._fix`). K is a sum over experts or devices, so what forcing x_j = 0 or 1 costs is known
without solving anew. Where that passes L − value, the opposite is decided (reduced-cost fixing).

**List** (`_enumerate.py`, ``active``, k = 1). U(S) ≤ base + Σ_{j∈S} ρ_j for every S of the box, base being L
without K. When few choices exceed the incumbent by it, all are evaluated and the box is closed.

**Incumbents** (`_solvers/_local.py`, `CoverSearch._round`). Greedy by gain and by gain per cost at several levels of
idle energy, then swaps; at every box the relaxation's choice, filled up; now and then an iterated local search.

**Branch**. On idle energy while blurred masks make up most of the gap, then on the undecided device
with most Σ ρ_j, then on the expert with most ρ_j.

**Proof.** The queue (`_node_queue.py`) is best-first, and depth-first while it is full. Every feasible S that may
be better than the incumbent is in some box of it, so value ≤ optimum ≤ max of the queue's bounds at
every moment: that is `Solution.bound` wherever the run ends (Tuy 2000 for the monotonic frame). The
status is ``optimal`` once bound − value ≤ 1e-9 · max(1, |bound|).

`MixtureLikelihood` is not monotone. It is searched by `_union.py`: the same boxes without idle intervals, and
per query the bound max over T ⊆ open of (a + Σ_T w p) / (b + Σ_T w), a and b summing w p and w over
the experts that answer in every S of the box; the best T is a prefix of the experts by p. Its ε-mode
(option ``epsilon``) replaces this by the union bound plus measured violations, and proves nothing.

References: G. Cornuéjols, M. Fisher, G. Nemhauser, Location of bank accounts to optimize float, Management
Science 23, 1977. M. Fisher, The Lagrangian relaxation method for solving integer programming
problems, Management Science 27, 1981. G. Dantzig, Discrete-variable extremum problems, Operations
Research 5, 1957. F. Glover, Surrogate constraints, Operations Research 16, 1968. P. Sinha,
A. Zoltners, The multiple-choice knapsack problem, Operations Research 27, 1979. H. Tuy, Monotonic
optimization: problems and solution approaches, SIAM Journal on Optimization 11, 2000. R. Baldacci,
N. Christofides, A. Mingozzi, Mathematical Programming 115, 2008.
"""
