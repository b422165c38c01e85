"""Differences of log-gamma, digamma and trigamma that the negative binomial likelihood needs, for whole counts.

With r = 1/dispersion, only differences between arguments y + r and r occur. Taken one by one they cancel badly for
small dispersions; written as products (counts below 8) or as differences of Stirling series they do not.
Abramowitz and Stegun 6.1.40, 6.3.18, 6.4.12.
"""

from __future__ import annotations

import math

from numba import njit

DIRECT = 8  # counts below this are done by products and sums
ASYMPTOTIC = 10.0  # arguments from here on are done by series
LARGE_ARGUMENT = 4934720.0
HALF_LOG_2_PI = 0.918938533204672741780329736406


@njit(error_model="numpy")
def stirling(x):
    """lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2, for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    return (
        1.0 / 12 - z * (1.0 / 360 - z * (1.0 / 1260 - z * (1.0 / 1680 - z * (1.0 / 1188 - z * 691.0 / 360360))))
    ) / x


@njit(error_model="numpy")
def log_rising(y, r):
    """lgamma(y + r) - lgamma(r) - y log r for a whole count y >= 0 and r > 0."""
    if y == 0.0:
        return 0.0
    if y < DIRECT:
        product = 1.0
        for k in range(1, int(y)):
            product *= 1.0 + k / r
        return math.log(product)
    if r >= ASYMPTOTIC:
        return (y + r - 0.5) * math.log1p(y / r) - y + stirling(y + r) - stirling(r)
    product = 1.0
    for k in range(DIRECT):
        product *= r + k
    rest = y - DIRECT
    high = r + DIRECT
    if rest > 0.0:
        tail = rest * math.log(high) + (rest + high - 0.5) * math.log1p(rest / high) - rest
        tail += stirling(rest + high) - stirling(high)
    else:
        tail = 0.0
    return math.log(product) + tail - y * math.log(r)


@njit(error_model="numpy")
def digamma_series(x):
    """log x - digamma(x), for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    series = z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * 691.0 / 32760)))))
    return 0.5 / x + series


@njit(error_model="numpy")
def digamma_rising(y, r):
    """digamma(y + r) - digamma(r) for a whole count y >= 0 and r > 0."""
    total = 0.0
    if y < DIRECT:
        for k in range(int(y)):
            total += 1.0 / (r + k)
        return total
    if r < ASYMPTOTIC:
        for k in range(DIRECT):
            total += 1.0 / (r + k)
        r += DIRECT
        y -= DIRECT
    return total + math.log1p(y / r) - digamma_series(y + r) + digamma_series(r)


@njit(error_model="numpy")
def trigamma_series(x):
    """trigamma(x), for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    series = z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66 - z * 691.0 / 2730)))))
    return (1.0 + 0.5 / x + series) / x


@njit(error_model="numpy")
def trigamma_falling(y, r):
    """trigamma(r) - trigamma(y + r) for a whole count y >= 0 and r > 0."""
    total = 0.0
    if y < DIRECT:
        for k in range(int(y)):
            total += 1.0 / ((r + k) * (r + k))
        return total
    if r < ASYMPTOTIC:
        for k in range(DIRECT):
            total += 1.0 / ((r + k) * (r + k))
        r += DIRECT
        y -= DIRECT
    return total + trigamma_series(r) - trigamma_series(y + r)


@njit(error_model="numpy")
def reference_log_gamma(x):
    """lgamma(x) with the rounding of the reference's formula, which decides where its likelihood is flat.

    Stirling's series as it stands, without its correction from 4934720 on (R's nmath, lgamma).
    """
    if x <= ASYMPTOTIC:
        return math.lgamma(x)
    value = HALF_LOG_2_PI + (x - 0.5) * math.log(x) - x
    return value if x > LARGE_ARGUMENT else value + stirling(x)
