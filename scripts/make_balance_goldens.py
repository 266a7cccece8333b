#!/usr/bin/env python3
"""Writes tests/golden/balance.json: task gradients and the weights that each balancing method gives them.

    pip install torch numpy mpmath "torchjd[quadprog_projector]"
    python scripts/make_balance_goldens.py

Last run with TorchJD 0.18.0, PyTorch 2.15.0, NumPy 2.4.6, mpmath 1.3.0, quadprog 0.1.14; takes a minute. Values are TorchJD's
where it has the method and solves it exactly (`source` says so), else computed here from the paper's definition, with 50 digits
where a problem has to be solved. Weights follow docs/balance: the shared parameters move along 1/T sum of w_i g_i, so ones are
equal weighting.

    stacks    name -> gradients [T][P], losses [T]
    values    method, parameters, source, steps, and per step
              weights [T], and/or direction [P] = 1/T sum of w_i g_i, alone where weights are not unique or do not say it
              draws: the random numbers that decide; scores: validation scores heard of before the step, or null

A step is the name of a stack, or a pair: of two half batches (modo, sdmgrad), of the losses before and after the update (famo),
of training and validation gradients (auto_lambda, forum, moml). Weights of db_mtl and moco are those of the traces.
"""

import importlib.metadata
import itertools
import json
import math
import pathlib

import mpmath as mp
import numpy as np
import torch
from torchjd import aggregation as jd
from torchjd.linalg import QuadprogProjector

mp.mp.dps = 50
TORCHJD = f"torchjd {importlib.metadata.version('torchjd')}"
P = 10
rng = np.random.default_rng(20240229)
stacks, values = {}, []


def digits(value):
    """Nine significant digits, in plain lists."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, (list, tuple)):
        return [digits(v) for v in value]
    if isinstance(value, np.ndarray):
        return digits(value.tolist())
    return value if isinstance(value, int) else float(f"{float(value):.9g}")


# --- Stacks ----------------------------------------------------------------------------------------------------------


def stack(name, gradients, losses=None):
    gradients = np.asarray(digits(np.asarray(gradients, dtype=float)))
    losses = rng.uniform(0.2, 2.0, len(gradients)).round(4) if losses is None else np.asarray(losses, dtype=float)
    stacks[name] = dict(gradients=gradients, losses=losses)
    return name


def normal(rows, mean=0.0):
    """Gradients around a common one: `mean` above 0 makes them agree."""
    return (rng.normal(size=(rows, P)) + mean * rng.normal(size=P)).round(4)


def conflicting(rows):
    """Gradients of which every two point away from each other, but not all at once."""
    drawn = rng.normal(size=(rows, P))
    return (drawn - 0.5 * drawn.mean(axis=0) * rows / max(rows - 1, 1) + 0.2 * rng.normal(size=P)).round(4)


base = normal(2)
stack("single", normal(1))
stack("two", normal(2, 1.0))
stack("three", normal(3, 0.5))
stack("eight", normal(8, 0.3))
stack("conflicting_two", [base[0], (-0.6 * base[0] + 0.7 * base[1]).round(4)])
stack("conflicting_three", conflicting(3))
stack("conflicting_eight", conflicting(8))
stack("aligned", normal(3, 3.0))
stack("parallel", [base[0], 2.0 * base[0], 0.5 * base[0]])
stack("orthogonal", np.eye(3, P) * [[1.0], [2.0], [0.5]])
stack("equal_orthogonal", np.eye(4, P) * 1.5)
stack("rank_deficient", [base[0], base[1], base[0] + base[1], 2.0 * base[0] - base[1]])
stack("opposite", [base[0], -0.5 * base[0]])
stack("nearly_parallel", (np.array([[1.0], [1.5], [0.7]]) * base[1] + 1e-3 * normal(3)).round(6))
stack("scaled", normal(4) * [[0.01], [1.0], [10.0], [100.0]])
stack("wild", normal(4) * [[1e-6], [1e-2], [1e2], [1e6]])
stack("tiny", conflicting(3) * 1e-6)
stack("one_zero", np.vstack([conflicting(2), np.zeros(P)]))
stack("all_zero", np.zeros((3, P)), [0.3, 0.6, 0.9])

SEQUENCE = []
centre = normal(3, 0.3)
for k in range(6):
    scale = np.array([[1.0], [2.0], [0.3]]) * [[0.8**k], [1.0], [1.1**k]]
    SEQUENCE.append(stack(f"step_{k}", ((centre + 0.8 * rng.normal(size=(3, P))) * scale).round(5),
                          (np.array([1.2, 0.5, 2.5]) * [0.85**k, 0.97**k, 0.9**k] * rng.uniform(0.9, 1.1, 3)).round(5)))
LONG = []
centre = conflicting(8)
for k in range(5):
    LONG.append(stack(f"long_{k}", (centre + 0.5 * rng.normal(size=(8, P))).round(4)))

ONE_STEP = [name for name in stacks if not name.startswith(("step_", "long_"))]


def gradients(name):
    return stacks[name]["gradients"]


def losses(name):
    return stacks[name]["losses"]


def gramian(name, other=None):
    return gradients(name) @ gradients(other or name).T


def norms(name):
    return np.linalg.norm(gradients(name), axis=1)


def mean_direction(name, weights):
    return np.asarray(weights, dtype=float) @ gradients(name) / len(weights)


def case(method, parameters, source, steps, weights=None, direction=None, draws=None):
    entry = dict(method=method, parameters=parameters, source=source, steps=list(steps))
    for key, value in dict(weights=weights, direction=direction, draws=draws).items():
        if value is not None:
            entry[key] = digits(value)
    values.append(entry)


NOT_UNIQUE = ("parallel", "rank_deficient", "opposite", "one_zero", "all_zero")


def one_step_cases(method, parameters, source, weigh, skip=(), not_unique=NOT_UNIQUE):
    """A case a stack: its weights, or where these are not unique their direction."""
    for name in ONE_STEP:
        if name in skip:
            continue
        weights = weigh(name)
        if name in not_unique:
            case(method, parameters, source, [name], direction=[mean_direction(name, weights)])
        else:
            case(method, parameters, source, [name], weights=[weights])


# --- Small problems, solved exactly ------------------------------------------------------------------------------------


def exact(array):
    return mp.matrix(np.asarray(array, dtype=float).tolist())


def exact_gramian(name):
    """The Gramian of the decimals as written, and a ridge far below what a test can see, which makes it definite."""
    rows = exact(gradients(name))
    product = rows * rows.T
    ridge = mp.mpf("1e-34") * max(product[i, i] for i in range(product.rows)) + mp.mpf("1e-60")
    return product + ridge * mp.eye(product.rows)


def supports(count):
    for size in range(1, count + 1):
        yield from itertools.combinations(range(count), size)


def parts(matrix, support):
    return mp.matrix([[matrix[i, j] for j in support] for i in support])


def spread(vector, support, count):
    full = mp.zeros(count, 1)
    for place, i in enumerate(support):
        full[i] = vector[place]
    return full


def min_norm_point(G):
    """argmin of a'Ga over the simplex: the only support whose conditions of Karush, Kuhn and Tucker hold."""
    n = G.rows
    slack = mp.mpf("1e-25") * max(G[i, i] for i in range(n))
    for support in supports(n):
        a = mp.lu_solve(parts(G, support), mp.ones(len(support), 1))
        if min(a) <= 0:
            continue
        level = 1 / sum(a)
        alpha = spread(a * level, support, n)
        if min(G * alpha) >= level - slack:
            return alpha
    raise ValueError("no support fits")


def conflict_averse(G, c, count=None):
    """Weights a of d = sum of a_i g_i that maximises min g_i'd over the ball of radius c |g0| around the mean g0.

    There are `count` tasks with those of zero gradient, which only count in the mean. From its dual: v = c |g0| w / |g_w|
    solves G v = mu 1 - G 1/n on its support, and v'Gv = c^2 |g0|^2 gives mu.
    """
    n = G.rows
    b = G * mp.ones(n, 1) / (count or n)
    square = c * c * sum(b) / (count or n)
    slack = mp.mpf("1e-20") * max(G[i, i] for i in range(n))
    for support in supports(n):
        S = parts(G, support)
        ones = mp.lu_solve(S, mp.ones(len(support), 1))
        bs = mp.matrix([b[i] for i in support])
        x = mp.lu_solve(S, bs)
        qa, qb, qc = sum(ones), sum(x), (bs.T * x)[0] - square  # qa mu^2 - 2 qb mu + qc = 0
        root = qb * qb - qa * qc
        if root < 0:
            continue
        for mu in ((qb + mp.sqrt(root)) / qa, (qb - mp.sqrt(root)) / qa):
            v = spread(mu * ones - x, support, n)
            if min(v) >= 0 and all(v[i] > 0 for i in support) and min(b + G * v) >= mu - slack:
                return mp.ones(n, 1) / (count or n) + v
    raise ValueError("no support fits")


def fair(G, exponent):
    """The w > 0 with G w = w^(-1/exponent): Newton's method on the convex function of which this is the derivative."""
    n, p = G.rows, 1 / mp.mpf(exponent)
    w = mp.matrix([G[i, i] ** (-1 / (1 + p)) / n for i in range(n)])

    def value(w):
        barrier = sum(mp.log(x) if p == 1 else x ** (1 - p) / (1 - p) for x in w)
        return (w.T * G * w)[0] / 2 - barrier

    for _ in range(500):
        slope = G * w - mp.matrix([x**-p for x in w])
        curve = G + mp.diag([p * x ** (-p - 1) for x in w])
        step = mp.lu_solve(curve, slope)
        decrease = (slope.T * step)[0]
        if decrease < mp.mpf("1e-60") * n:
            break
        size = mp.mpf(1)
        while min(w - size * step) <= 0 or value(w - size * step) > value(w) - size * decrease / 10:
            size /= 2
            if size < mp.mpf("1e-30"):
                break
        w = w - size * step
    residual = G * w - mp.matrix([x**-p for x in w])
    assert max(abs(r) * x**p for r, x in zip(residual, w)) < mp.mpf("1e-12"), "not solved"
    return w


def floats(vector):
    return np.array([float(v) for v in vector])


def without_zeros(name, solve):
    """`solve` for the tasks whose gradient is not zero; the others' weights do not matter."""
    rows = [i for i, row in enumerate(gradients(name)) if np.any(row)]
    weights = np.ones(len(gradients(name)))
    if rows:
        weights[rows] = floats(solve(parts(exact_gramian(name), rows)))
    return weights


# --- Methods of the Gramian --------------------------------------------------------------------------------------------


def torchjd_weights(weighting):
    return lambda name: weighting(torch.tensor(gramian(name))).numpy()


def scaled(weigh, times_tasks=True):
    return lambda name: weigh(name) * (len(gradients(name)) if times_tasks else 1)


# The smallest gradients of `wild` are below the precision of TorchJD's pseudo-inverse, and `tiny` has sums below its 1e-12.
one_step_cases("imtl_g", {}, TORCHJD + " IMTLGWeighting", scaled(torchjd_weights(jd.IMTLGWeighting())),
               skip=("wild", "tiny"))
for name in ("wild", "tiny", "conflicting_eight"):
    solution = floats(mp.lu_solve(exact_gramian(name), exact(norms(name))))
    case("imtl_g", {}, "mpmath", [name], weights=[len(solution) * solution / solution.sum()])
one_step_cases("mgda", {}, "mpmath", scaled(lambda name: floats(min_norm_point(exact_gramian(name)))))


def normalised_min_norm(name, sizes):
    """The min-norm point of gradients that are divided by sizes; zeros by 1."""
    product = exact_gramian(name)
    sizes = [mp.mpf(size) if size > 0 else mp.mpf(1) for size in sizes]
    return floats(min_norm_point(mp.matrix(
        [[product[i, j] / (sizes[i] * sizes[j]) for j in range(product.cols)] for i in range(product.rows)])))


for word, sizes in (("l2", norms), ("loss", losses), ("loss_l2", lambda name: norms(name) * losses(name))):
    one_step_cases("mgda", dict(normalize=word), "mpmath", scaled(lambda name: normalised_min_norm(name, sizes(name))),
                   skip=NOT_UNIQUE)


def torch_orders(seed, count):
    """The orders in which TorchJD's PCGrad goes through the other tasks after this seed."""
    torch.manual_seed(seed)
    return [[j for j in torch.randperm(count).tolist() if j != i] for i in range(count)]


for seed, name in enumerate(ONE_STEP):
    orders = torch_orders(seed, len(gradients(name)))
    torch.manual_seed(seed)
    weights = torchjd_weights(jd.PCGradWeighting())(name)
    case("pcgrad", {}, TORCHJD + " PCGradWeighting", [name], weights=[weights], draws=[orders])


def grad_vac(steps, beta, eps=1e-8):
    weighting, weights, draws = jd.GradVacWeighting(beta=beta, eps=eps), [], []
    for seed, name in enumerate(steps):
        count = len(gradients(name))
        torch.manual_seed(seed)
        orders = []
        for i in range(count):
            others = [j for j in range(count) if j != i]
            orders.append([others[k] for k in torch.randperm(count - 1).tolist()])
        torch.manual_seed(seed)
        weights.append(torchjd_weights(weighting)(name))
        draws.append(orders)
    case("gradvac", dict(beta=beta), TORCHJD + " GradVacWeighting", steps, weights=weights, draws=draws)


for name in ["single", "conflicting_three", "conflicting_eight", "aligned", "one_zero", "all_zero"]:
    grad_vac([name], 0.5)
grad_vac(["wild"], 0.5, eps=0.0)
grad_vac(SEQUENCE, 0.5)
grad_vac(SEQUENCE, 0.1)
grad_vac(LONG, 0.5)

for c in (0.2, 0.5, 0.9):
    one_step_cases("cagrad", dict(c=c), "mpmath", scaled(lambda name: without_zeros(
        name, lambda G: conflict_averse(G, mp.mpf(c), len(gradients(name)))) / (1 + c * c)))


def nash(name, max_norm):
    """G a = 1/a, then |sum of a_i g_i| <= max_norm (0: no limit); without it that norm is the root of the number of tasks.

    TorchJD and the reference code stop after 20 linearised problems, which for conflicting gradients is not the solution.
    """
    weights = without_zeros(name, lambda G: fair(G, 1))
    norm = np.linalg.norm(weights @ gradients(name))
    return weights * (max_norm / norm if 0 < max_norm < norm else 1.0)


for max_norm in (1.0, 0.0):
    # `opposite` can make no task better without making one worse, and no bargain exists.
    one_step_cases("nash_mtl", dict(max_norm=max_norm), "mpmath", lambda name: nash(name, max_norm), skip=("opposite",),
                   not_unique=("one_zero", "all_zero"))



def aligned(name, scale):
    ones = torch.ones(len(gradients(name)), dtype=torch.float64)
    return jd.AlignedMTLWeighting(ones, scale)(torch.tensor(gramian(name))).numpy()


for scale in ("min", "median", "rmse"):
    # The smallest eigenvalues of `wild` are below the precision of its Gramian.
    one_step_cases("aligned_mtl", dict(scale=scale), TORCHJD + " AlignedMTLWeighting", lambda name: aligned(name, scale),
                   skip=("wild",))

for alpha in (1.0, 2.0, 0.5):
    one_step_cases("fairgrad", dict(alpha=alpha), "mpmath",
                   lambda name: without_zeros(name, lambda G: fair(G, alpha)), skip=("opposite",),
                   not_unique=("one_zero", "all_zero"))

for ridge in (1e-4, 1e-2):
    # TorchJD's norm_eps makes the method depend on the scale of the losses: as good as 0 here.
    projector = QuadprogProjector(norm_eps=1e-300, reg_eps=ridge)
    one_step_cases("upgrad", dict(ridge=ridge), TORCHJD + " UPGradWeighting",
                   scaled(torchjd_weights(jd.UPGradWeighting(projector=projector))), not_unique=())
    one_step_cases("dualproj", dict(ridge=ridge), TORCHJD + " DualProjWeighting",
                   scaled(torchjd_weights(jd.DualProjWeighting(projector=projector))), not_unique=())


def con_fig(name):
    """TorchJD's direction, which weights of the units give: length / |b| * (U U')^+ 1 / |g_i|."""
    rows = gradients(name)
    norms = np.linalg.norm(rows, axis=1)
    units = np.divide(rows, norms[:, None], out=np.zeros_like(rows), where=norms[:, None] > 0)
    of_units = np.linalg.pinv(units @ units.T, rcond=1e-12, hermitian=True) @ np.ones(len(rows))
    best = of_units @ units
    length = np.sum(rows @ best) / max(best @ best, 1e-300)
    weights = length * np.divide(of_units, norms, out=np.zeros_like(norms), where=norms > 0)
    theirs = jd.ConFIG()(torch.tensor(rows)).numpy()
    assert np.allclose(weights @ rows, theirs, rtol=1e-9, atol=1e-9 * norms.max()), name
    return weights


# Opposite gradients have no direction that both agree with: theirs is rounding error.
one_step_cases("config", {}, TORCHJD + " ConFIG", con_fig, skip=("opposite",))

# With a distance to one other only, the nearest two are as good as each other.
for byzantine, selected in ((0, 1), (1, 1), (0, 2), (1, 3)):
    one_step_cases("krum", dict(byzantine=byzantine, selected=selected), TORCHJD + " KrumWeighting",
                   scaled(torchjd_weights(jd.KrumWeighting(byzantine, selected))), not_unique=(),
                   skip=[name for name in ONE_STEP if len(gradients(name)) < byzantine + 4 or
                         len(gradients(name)) < selected or name in ("orthogonal", "equal_orthogonal", "all_zero")])


def sequence(method, parameters, source, steps, weigh, times_tasks=True):
    case(method, parameters, source, steps, weights=[scaled(weigh, times_tasks)(name) for name in steps])


class Exact(jd.Weighting):
    """The exact weights of a step, for TorchJD to average."""

    def __init__(self, weigh):
        super().__init__()
        self.weigh = weigh

    def forward(self, index):
        return torch.tensor(floats(self.weigh(exact_gramian(SEQUENCE[int(index)]))))


for alpha in (0.9, 0.5):
    sequence("cr_mogm", dict(alpha=alpha, of="upgrad"), TORCHJD + " CRMOGMWeighting(UPGradWeighting)", SEQUENCE,
             torchjd_weights(jd.CRMOGMWeighting(jd.UPGradWeighting(), alpha=alpha)))
for inner, weigh in (("mgda", min_norm_point), ("cagrad", lambda G: conflict_averse(G, mp.mpf("0.5")) / mp.mpf("1.25"))):
    averaged = jd.CRMOGMWeighting(Exact(weigh), alpha=0.9)
    sequence("cr_mogm", dict(alpha=0.9, of=inner), TORCHJD + " CRMOGMWeighting and mpmath", SEQUENCE,
             lambda name: averaged(torch.tensor(SEQUENCE.index(name))).numpy())

for tau in (0.02, 0.3):
    sequence("pcd", dict(tau=tau), TORCHJD + " PCDWeighting", SEQUENCE, torchjd_weights(jd.PCDWeighting(tau=tau)))
    sequence("pcd", dict(tau=tau), TORCHJD + " PCDWeighting", LONG, torchjd_weights(jd.PCDWeighting(tau=tau)))
    for name in ("single", "conflicting_two", "orthogonal", "aligned", "one_zero", "scaled"):
        sequence("pcd", dict(tau=tau), TORCHJD + " PCDWeighting", [name], torchjd_weights(jd.PCDWeighting(tau=tau)))


def halves(method, parameters, source, pairs, weighting):
    weights = [weighting(torch.tensor(gramian(*pair))).numpy() * len(gradients(pair[0])) for pair in pairs]
    case(method, parameters, source, pairs, weights=weights)


for steps in (SEQUENCE, LONG):
    pairs = [list(pair) for pair in zip(steps, steps[1:])]
    for gamma, rho in ((1e-3, 0.1), (0.1, 0.0)):
        halves("modo", dict(gamma=gamma, rho=rho), TORCHJD + " MoDoWeighting", pairs, jd.MoDoWeighting(gamma, rho))
    for pull in (0.3, 0.0):
        halves("sdmgrad", {"lambda": pull}, TORCHJD + " SDMGradWeighting", pairs, jd.SDMGradWeighting(lambda_=pull))
# Products of unrelated gradients are negative even on the diagonal.
unrelated = [["conflicting_three", "three"], ["three", "aligned"], ["aligned", "orthogonal"], ["parallel", "three"]]
halves("modo", dict(gamma=0.1, rho=0.1), TORCHJD + " MoDoWeighting", unrelated, jd.MoDoWeighting(0.1, 0.1))
halves("sdmgrad", {"lambda": 0.3}, TORCHJD + " SDMGradWeighting", unrelated, jd.SDMGradWeighting())
halves("modo", dict(gamma=1e-3, rho=0.1), TORCHJD + " MoDoWeighting", [["all_zero", "all_zero"]], jd.MoDoWeighting(1e-3, 0.1))
halves("sdmgrad", {"lambda": 0.3}, TORCHJD + " SDMGradWeighting", [["all_zero", "all_zero"]], jd.SDMGradWeighting())

# --- Methods of the losses ---------------------------------------------------------------------------------------------


def of_losses(method, parameters, weigh, source="numpy"):
    """Stateless methods: a case for all stacks of one step."""
    for name in ONE_STEP:
        case(method, parameters, source, [name], weights=[weigh(losses(name))])


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()


def learned(method, parameters, steps, start, weigh, objective, rate, decay=0.0):
    """Scales that Adam learns beside the model: the weights of a step are those before its update."""
    scales = torch.full((len(losses(steps[0])),), float(start), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([scales], lr=rate, weight_decay=decay)
    weights = []
    for name in steps:
        weights.append(weigh(scales.detach()).numpy().copy())
        optimizer.zero_grad()
        objective(scales, torch.tensor(losses(name))).backward()
        optimizer.step()
    case(method, parameters, "torch.optim.Adam", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    for rate, start in ((0.025, 0.0), (0.2, 0.0), (0.025, -0.5)):
        # Sum of exp(-s) L / 2 + s / 2; its weight exp(-s) / 2 divided by that at the start.
        learned("uncertainty", dict(learning_rate=rate, start=start), steps, start, lambda s: torch.exp(start - s),
                lambda s, loss: (torch.exp(-s) * loss / 2 + s / 2).sum(), rate)
    for rate in (0.025, 0.2):
        learned("imtl_l", dict(learning_rate=rate), steps, 0.0, torch.exp,
                lambda s, loss: (torch.exp(s) * loss - s).sum(), rate)


def average_weights(method, steps, temperature, period):
    """T softmax(r / temperature), r the ratio of the mean losses of the last two whole periods; ones before."""
    weights, past, now = [], [], []
    for name in steps:
        ratio = past[-1] / past[-2] if len(past) > 1 else None
        weights.append(np.ones(len(losses(name))) if ratio is None else len(ratio) * softmax(ratio / temperature))
        now.append(losses(name))
        if len(now) == period:
            past.append(np.mean(now, axis=0))
            now = []
    case(method, dict(temperature=temperature, period=period), "numpy", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    average_weights("dwa", steps, 2.0, 1)
    average_weights("dwa", steps, 0.5, 1)
average_weights("dwa", SEQUENCE, 2.0, 2)

for name in ("single", "two", "eight"):
    draws = rng.normal(size=len(losses(name))).round(6)
    case("rlw", {}, "numpy", [name], weights=[len(draws) * softmax(draws)], draws=[draws])

# d(product of L)^(1/T) / dL = that / (T L), times T: ones for equal losses.

def smooth_maximum(steps, mu, warmup):
    """As the authors' code: losses are log(L / N), N the mean of the first ones; till that is known, the sum of log L."""
    first, weights = [], []
    for name in steps:
        loss = torch.tensor(losses(name), requires_grad=True)
        if len(first) < warmup:
            first.append(losses(name))
            objective = loss.log().sum()
        else:
            scaled_losses = (loss / torch.tensor(np.mean(first, axis=0))).log()
            objective = len(loss) * mu * torch.logsumexp(scaled_losses / mu, 0)
        objective.backward()
        weights.append(loss.grad.numpy())
    case("stch", dict(mu=mu, logarithm=True, warmup=warmup), "torch.autograd", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    for mu, warmup in ((1.0, 1), (0.2, 3)):
        smooth_maximum(steps, mu, warmup)

of_losses("gls", {}, lambda loss: math.exp(np.mean(np.log(loss))) / loss)
for mu in (1.0, 0.1):
    of_losses("stch", dict(mu=mu), lambda loss: len(loss) * softmax(loss / mu))


def famo(steps, rate, decay):
    """Steps are pairs: the losses before and after the update of the model."""
    count = len(losses(steps[0][0]))
    scales = torch.zeros(count, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([scales], lr=rate, weight_decay=decay)
    weights = []
    for before, after in steps:
        before, after = torch.tensor(losses(before)), torch.tensor(losses(after))
        shares = torch.softmax(scales, -1)
        weights.append((count * (shares / before) / (shares / before).sum()).detach().numpy())
        scales.grad = torch.autograd.grad(shares, scales, before.log() - after.log())[0]
        optimizer.step()
    case("famo", dict(learning_rate=rate, decay=decay), "torch.optim.Adam", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    famo([list(pair) for pair in zip(steps, steps[1:])], 0.025, 1e-3)
    famo([list(pair) for pair in zip(steps, steps[1:])], 0.3, 0.1)

# --- Methods with a memory of gradients --------------------------------------------------------------------------------


def grad_norm(steps, alpha, rate, warmup):
    """Chen et al. 2018, algorithm 1: the model moves with w(t) while w(t + 1) is learned and scaled to the sum T."""
    first = np.mean([losses(name) for name in steps[:max(warmup, 1)]], axis=0)
    scales = torch.ones(len(losses(steps[0])), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([scales], lr=rate)
    weights = []
    for k, name in enumerate(steps):
        weights.append(scales.detach().numpy().copy())
        if k < warmup:
            continue
        size = scales * torch.tensor(norms(name))
        pace = torch.tensor(losses(name) / first)
        target = (size.mean() * (pace / pace.mean()) ** alpha).detach()
        optimizer.zero_grad()
        (size - target).abs().sum().backward()
        optimizer.step()
        with torch.no_grad():
            scales *= len(scales) / scales.sum()
    case("gradnorm", dict(alpha=alpha, learning_rate=rate, warmup=warmup), "torch.optim.Adam", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    grad_norm(steps, 1.5, 0.025, 0)
    grad_norm(steps, 0.5, 0.1, 0)
    grad_norm(steps, 1.5, 0.1, 2)


def excess(steps, rate, warmup):
    """He et al. 2024, equations 6, 7 and 9, scaled by the mean risk of the first steps, in which weights are still equal."""
    squares, first, logits, weights = 0.0, [], 0.0, []
    for name in steps:
        squares = squares + gradients(name) ** 2
        risk = (gradients(name) ** 2 / (np.sqrt(squares) + 1e-8)).sum(axis=1)
        if len(first) < warmup:
            first.append(risk)
        else:
            logits = logits + rate * risk / np.mean(first, axis=0)
        weights.append(len(risk) * softmax(logits + np.zeros(len(risk))))
    case("excess_mtl", dict(learning_rate=rate, warmup=warmup), "numpy", steps, weights=weights)


for steps in (SEQUENCE, LONG):
    excess(steps, 1.0, 1)
    excess(steps, 0.1, 1)
    excess(steps, 1.0, 3)


def dual_balance(steps, beta, decay):
    """Traces of the gradients of log L; weights of the traces. `direction` is of the traces too."""
    trace, weights, directions = 0.0, [], []
    for k, name in enumerate(steps, 1):
        keep = beta / k**decay
        trace = keep * trace + (1 - keep) * gradients(name) / losses(name)[:, None]
        size = np.linalg.norm(trace, axis=1)
        weights.append(size.max() / size)
        directions.append(weights[-1] @ trace / len(size))
    case("db_mtl", dict(beta=beta, decay=decay), "numpy", steps, weights=weights, direction=directions)


for steps in (SEQUENCE, LONG):
    for beta, decay in ((0.9, 0.5), (0.9, 0.0), (0.0, 0.5)):
        dual_balance(steps, beta, decay)


def onto_simplex(y):
    """The nearest point of the simplex: y less what makes its positive part sum to one, found by halving."""
    low, high = y.min() - 1.0, y.max()
    for _ in range(200):
        level = (low + high) / 2
        low, high = (level, high) if np.maximum(y - level, 0).sum() > 1 else (low, level)
    return np.maximum(y - low, 0)


def corrected(steps, beta, gamma, decay, rho, scaled):
    """MoCo, algorithm 1: y follows the gradients (of the length of their losses, if scaled), the shares the Gramian of y."""
    count = len(losses(steps[0]))
    trace, shares, weights, directions = 0.0, np.ones(count) / count, [], []
    for k, name in enumerate(steps, 1):
        target = gradients(name) * (losses(name) / norms(name))[:, None] if scaled else gradients(name)
        trace = trace - beta / k**decay * (trace - target)
        shares = onto_simplex(shares - gamma / k**decay * (trace @ trace.T + rho * np.eye(count)) @ shares)
        weights.append(count * shares)
        directions.append(shares @ trace)
    case("moco", dict(beta=beta, gamma=gamma, decay=decay, rho=rho, scaled=scaled), "numpy", steps, weights=weights,
         direction=directions)


for steps in (SEQUENCE, LONG):
    corrected(steps, 0.5, 0.1, 0.5, 0.0, True)
    corrected(steps, 0.5, 0.05, 0.5, 0.1, False)
    corrected(steps, 1.0, 0.02, 0.0, 0.0, False)

# --- Methods of scores and validation gradients ------------------------------------------------------------------------


def prioritised(steps, gamma, newest):
    """Guo et al. 2018: the focal loss of a running mean of scores, of mean one. `scores`: heard of before the step, if any."""
    scores, mean, weights = [None], None, [np.ones(len(losses(steps[0])))]
    for k in range(1, len(steps)):
        heard = None if k == 2 else rng.uniform(0.2, 0.95, len(weights[0])).round(4)
        if heard is not None:
            mean = heard if mean is None else mean + newest * (heard - mean)
        focus = -((1 - mean) ** gamma) * np.log(mean)
        scores.append(heard)
        weights.append(focus / focus.mean())
    case("dtp", dict(gamma=gamma, newest=newest), "numpy", steps, weights=weights)
    values[-1]["scores"] = digits(scores)


for steps in (SEQUENCE, LONG):
    prioritised(steps, 1.0, 0.5)
    prioritised(steps, 2.0, 1.0)


def by_validation(method, parameters, pairs, slope, rate, keep_sum):
    """Pairs: the training and the validation gradients of a step. Adam moves weights, ones at first, against a slope."""
    scales = torch.ones(len(gradients(pairs[0][0])), dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([scales], lr=rate)
    weights = []
    for training, validation in pairs:
        weights.append(scales.detach().numpy().copy())
        # Of each validation loss (rows) by each weight, over the learning rate of the model.
        change = -gradients(validation) @ gradients(training).T
        scales.grad = torch.tensor(slope(change, gramian(training) @ weights[-1]))
        optimizer.step()
        with torch.no_grad():
            scales.clamp_(min=0.0)
            if keep_sum:
                scales *= weights[-1].sum() / scales.sum()
    case(method, parameters, "torch.optim.Adam and mpmath", pairs, weights=weights)


def shortest(change, _):
    return floats(exact(change).T * min_norm_point(exact(change) * exact(change).T))


def constrained(change, q, rho):
    """FORUM: -d, d the minimiser of max(change d) + |d|^2 / 2 under q'd <= -rho/2 |q|^2.

    From its dual: shares of the rows and a multiplier of the condition; those that are not zero solve a linear system.
    """
    count = len(change)
    rows, q = exact(change), exact(q)
    square, wanted = (q.T * q)[0], mp.mpf(rho) / 2 * (q.T * q)[0]
    for bound in (False, True):
        for support in supports(count):
            # Unknown: shares, the level max(change d), and the multiplier of the constraint.
            size = len(support)
            n = size + 1 + bound
            A, b = mp.zeros(n), mp.zeros(n, 1)
            some = mp.matrix([[rows[i, j] for j in range(count)] for i in support])
            A[:size, :size] = some * some.T
            for i in range(size):
                A[i, size] = A[size, i] = 1
            b[size] = 1
            if bound:
                along = some * q
                for i in range(size):
                    A[i, size + 1] = A[size + 1, i] = along[i]
                A[size + 1, size + 1], b[size + 1] = square, wanted
            try:
                x = mp.lu_solve(A, b)
            except ZeroDivisionError:
                continue
            shares, level = [x[i] for i in range(size)], x[size]
            multiplier = x[size + 1] if bound else mp.mpf(0)
            direction = -(some.T * mp.matrix(shares) + multiplier * q)
            slack = mp.mpf("1e-25") * (1 + max(abs(v) for v in rows * direction))
            if min(shares) > 0 and multiplier >= 0 and max(rows * direction) <= level + slack and \
                    (q.T * direction)[0] <= -wanted + slack:
                return floats(-direction)
    raise ValueError("no support fits")


for steps in (SEQUENCE, LONG):
    pairs = [list(pair) for pair in zip(steps, steps[1:])]
    for rate in (0.001, 0.05):
        by_validation("auto_lambda", dict(learning_rate=rate), pairs, lambda change, _: change.sum(axis=0), rate, False)
        by_validation("moml", dict(learning_rate=rate), pairs, shortest, rate, True)
for rho in (0.1, 1.0):
    by_validation("forum", dict(learning_rate=0.05, rho=rho), [list(pair) for pair in zip(SEQUENCE, SEQUENCE[1:])],
                  lambda change, q: constrained(change, q, rho), 0.05, True)

# --- Methods that look at every number ---------------------------------------------------------------------------------


def grad_drop(name, leak):
    draws = rng.random(P).round(6)
    drop = jd.GradDrop(leak=torch.full((len(gradients(name)),), leak, dtype=torch.float64))
    drawn, torch.rand = torch.rand, lambda *_, **__: torch.tensor(draws)
    direction = torch.nan_to_num(drop(torch.tensor(gradients(name)))).numpy() / len(gradients(name))
    torch.rand = drawn
    case("graddrop", dict(leak=leak), TORCHJD + " GradDrop", [name], direction=[direction], draws=[draws])


for name in ONE_STEP:
    grad_drop(name, 0.0)
for name in ("conflicting_three", "conflicting_eight"):
    grad_drop(name, 0.3)

for trim in (0, 1, 2):
    for name in ONE_STEP:
        if len(gradients(name)) > 2 * trim:
            case("trimmed_mean", dict(trim=trim), TORCHJD + " TrimmedMean", [name],
                 direction=[jd.TrimmedMean(trim)(torch.tensor(gradients(name))).numpy()])

# --- Writing -----------------------------------------------------------------------------------------------------------


def main():
    path = pathlib.Path(__file__).resolve().parent.parent / "tests" / "golden" / "balance.json"
    compact = lambda value: json.dumps(value, separators=(",", ":"), allow_nan=False)
    written = ",\n".join(f"{compact(name)}:{compact({k: digits(v) for k, v in s.items()})}" for name, s in stacks.items())
    lines = ",\n".join(compact(entry) for entry in values)
    path.write_text(f'{{"stacks":{{\n{written}\n}},\n"values":[\n{lines}\n]}}\n', encoding="utf-8")
    print(f"{len(stacks)} stacks, {len(values)} values, {path.stat().st_size} bytes: {path}")


if __name__ == "__main__":
    main()
