"""The (penalised) likelihood of a dispersion and its derivatives, in loops that become vector instructions.

Objective over a = log alpha, means held: NB log-likelihood - 1/2 log det(B' W B) + log normal prior, with
W = diag(1 / (1/mu + alpha)) and B any basis of the design's column space. Love, Huber, Anders (2014), equations 12 to
15. With r = 1/alpha, log-gamma and its derivatives enter as differences between the arguments y + r and r; both come
from their asymptotic series, small arguments shifted up by 8 first (Abramowitz and Stegun 6.1.40, 6.3.18, 6.4.12).
Loops over samples have no branches; samples of weight 0 fill them up to whole vectors. `objective` has the same, term
by term, for the reference's search.
"""

from __future__ import annotations

import math

from dediag.model.kernels.algebra import cholesky, solve_columns
from dediag.model.kernels.compilation import inlined, inner, summing, summing_inlined
from dediag.model.kernels.special import ASYMPTOTIC, DIRECT, digamma_series, stirling, trigamma_series
from dediag.model.kernels.vector import log, log_plus

SMALLEST_DISPERSION = 1e-8


@inlined
def sums_of_reciprocals(x):
    """Sum over k < 8 of 1/(x + k), and of 1/(x + k)^2: with u = x^2 + 7x, the factors pair up to u, u + 6, 10, 12."""
    u = x * (x + 7.0)
    v = 2.0 * x + 7.0
    a, b, c = u + 6.0, u + 10.0, u + 12.0
    ua, bc = u * a, b * c
    first, second = u + a, b + c
    inverse = 1.0 / (ua * bc)
    s1 = (first * bc + second * ua) * inverse  # sum of 1/(u + c)
    pairs = (ua + bc + first * second) * inverse  # sum over pairs of 1/((u + c)(u + d))
    return v * s1, v * v * (s1 * s1 - 2.0 * pairs) - 2.0 * s1


@inlined
def slope_terms(y, mu, r, alpha, at_r, at_r2):
    """One sample's terms of the first two derivatives, r >= 10, without a factor; its weight in W."""
    x = y + r
    inverse = 1.0 / (mu + r)
    residual = (mu - y) * inverse
    first = log_plus(-residual) - digamma_series(x) + at_r + residual
    second = (mu * alpha - residual) * inverse - (at_r2 - trigamma_series(x))
    return first, second, mu * r * inverse


@inlined
def shifted_slope_terms(y, mu, r, alpha, at_r, at_r2):
    """The same for any r > 0: arguments shifted up by 8."""
    x = y + r
    inverse = 1.0 / (mu + r)
    residual = (mu - y) * inverse
    s1, s2 = sums_of_reciprocals(x)
    high = x + DIRECT
    first = log(high * inverse) - digamma_series(high) - s1 + at_r + residual
    second = (mu * alpha - residual) * inverse - (at_r2 - trigamma_series(high) - s2)
    return first, second, mu * r * inverse


@summing
def likelihood_slopes(y, mu, weight, r, w):
    """Sums of the terms of both derivatives with respect to log alpha; w becomes mu / (1 + alpha mu)."""
    alpha = 1.0 / r
    first, second = 0.0, 0.0
    if r >= ASYMPTOTIC:
        at_r, at_r2 = digamma_series(r), trigamma_series(r)
        for j in range(y.size):
            d, d2, w[j] = slope_terms(y[j], mu[j], r, alpha, at_r, at_r2)
            first += weight[j] * d
            second += weight[j] * d2
    else:
        s1, s2 = sums_of_reciprocals(r)
        at_r = digamma_series(r + DIRECT) + s1 - math.log(1.0 + DIRECT * alpha)
        at_r2 = trigamma_series(r + DIRECT) + s2
        for j in range(y.size):
            d, d2, w[j] = shifted_slope_terms(y[j], mu[j], r, alpha, at_r, at_r2)
            first += weight[j] * d
            second += weight[j] * d2
    return -r * first, r * first + r * r * second


@inlined
def value_term(y, mu, r):
    """One sample's lgamma(y + r) - lgamma(r) - y log r - (y + r) log(1 + mu/r), without + stirling(r); r >= 10."""
    x = y + r
    return x * log_plus((y - mu) / (mu + r)) - 0.5 * log_plus(y / r) - y + stirling(x)


@inlined
def shifted_value_term(y, mu, r):
    """The same for any r > 0, arguments shifted up by 8; without what depends on r alone."""
    x, total = y + r, mu + r
    high = x + DIRECT
    u = x * (x + 7.0)
    rising = u * (u + 6.0) * (u + 10.0) * (u + 12.0)  # x (x + 1) ... (x + 7)
    fourth = total * total * total * total
    return high * log(high / total) + log(fourth * fourth / rising) - 0.5 * log(high) - y + stirling(high)


@summing
def likelihood(y, mu, weight, r, w):
    """NB log-likelihood without its lgamma(y + 1) terms; w becomes mu / (1 + alpha mu)."""
    total, n = 0.0, 0.0
    if r >= ASYMPTOTIC:
        for j in range(y.size):
            total += weight[j] * value_term(y[j], mu[j], r)
            n += weight[j]
            w[j] = mu[j] * r / (mu[j] + r)
        return total - n * stirling(r)
    base, u = r + DIRECT, r * (r + 7.0)
    of_r = r * math.log(r) - (base - 0.5) * math.log(base) - stirling(base)
    of_r += math.log(u * (u + 6.0) * (u + 10.0) * (u + 12.0))
    for j in range(y.size):
        total += weight[j] * shifted_value_term(y[j], mu[j], r)
        n += weight[j]
        w[j] = mu[j] * r / (mu[j] + r)
    return total + n * of_r


@summing_inlined
def weighted_sums(w, used, factor):
    """Sums of w, -w^2 and 2 w^3 over the used samples, each times a factor of the sample."""
    a, b, c = 0.0, 0.0, 0.0
    for j in range(w.size):
        v = w[j] * used[j]
        t = factor[j] * v
        a += t
        b += t * v
        c += t * v * v
    return a, -b, 2.0 * c


@inner
def determinant(w, used, space, work):
    """-share/2 log det(B' W B) and its first two derivatives with respect to alpha; w: diagonal of W."""
    scale = -0.5 * space.share
    value, first, second = 0.0, 0.0, 0.0
    if space.diagonal:
        for c in range(space.factors.shape[0]):
            total, slope, bend = weighted_sums(w, used, space.factors[c])
            if total > 0.0:
                value += math.log(total)
                ratio = slope / total
                first += ratio
                second += bend / total - ratio * ratio
        return scale * value, scale * first, scale * second
    B, D, E = work.B, work.D, work.E
    p = B.shape[0]
    row = 0
    for i in range(p):
        for k in range(i + 1):
            B[i, k], D[i, k], E[i, k] = weighted_sums(w, used, space.factors[row])
            D[k, i], E[k, i] = D[i, k], E[i, k]
            row += 1
        if B[i, i] == 0.0:  # weights left no sample of this column: it does not count
            B[i, i] = 1.0
    value = cholesky(B, p)
    solve_columns(B, D, p)
    solve_columns(B, E, p)
    for i in range(p):
        first += D[i, i]
        second += E[i, i]
        for k in range(p):
            second -= D[i, k] * D[k, i]
    return scale * value, scale * first, scale * second


@inner
def objective(a, gene, space, prior, work):
    """Log posterior of a = log alpha, without constants that do not depend on a (the determinant's basis is one)."""
    value = likelihood(gene.y, gene.mu, gene.weight, math.exp(-a), work.w)
    value += determinant(work.w, gene.used, space, work)[0] + space.shift
    return value - 0.5 * (a - prior.mean) ** 2 / prior.variance


@inner
def slopes(a, gene, space, prior, work):
    """First and second derivative of the objective with respect to a."""
    alpha = math.exp(a)
    first, second = likelihood_slopes(gene.y, gene.mu, gene.weight, 1.0 / alpha, work.w)
    _, d1, d2 = determinant(work.w, gene.used, space, work)
    first += alpha * d1 - (a - prior.mean) / prior.variance
    second += alpha * d1 + alpha * alpha * d2 - 1.0 / prior.variance
    return first, second


@summing
def excess_variance(y, mu, weight, w):
    """Half the sum of (y - mu)^2 - y: derivative of the likelihood with respect to alpha at 0; fills w."""
    total = 0.0
    for j in range(y.size):
        total += weight[j] * ((y[j] - mu[j]) * (y[j] - mu[j]) - y[j])
        w[j] = mu[j] / (1.0 + SMALLEST_DISPERSION * mu[j])
    return 0.5 * total


@inner
def rises_at_zero(gene, space, prior, work):
    """Whether the objective rises from the lower bound, where NB and Poisson differ to first order only."""
    total = SMALLEST_DISPERSION * excess_variance(gene.y, gene.mu, gene.weight, work.w)
    total -= (math.log(SMALLEST_DISPERSION) - prior.mean) / prior.variance
    if total > 0.0:
        return True  # the determinant only adds to it
    return total + SMALLEST_DISPERSION * determinant(work.w, gene.used, space, work)[1] > 0.0
