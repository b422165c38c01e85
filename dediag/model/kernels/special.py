"""Differences of log-gamma, digamma and trigamma that the negative binomial likelihood needs, for whole counts.

With r = 1/dispersion, only differences between arguments y + r and r occur. Taken one by one they cancel badly for
small dispersions; written as sums (counts below 8) or as differences of Stirling series they do not. What depends on r
alone is put into a table once for all samples. Abramowitz and Stegun 6.1.40, 6.3.18, 6.4.12.
"""

from __future__ import annotations

import math

from dediag.model.kernels.compilation import inlined, inner

DIRECT = 8  # counts below this are done by sums
ASYMPTOTIC = 10.0  # arguments from here on are done by series; smaller ones are shifted up by DIRECT first
SERIES = DIRECT + 1  # column of the table that holds the series at the (shifted) argument
TABLE = (2, DIRECT + 3)
LARGE_ARGUMENT = 4934720.0
HALF_LOG_2_PI = 0.918938533204672741780329736406


@inner
def log_one_plus(x):
    """log(1 + x), by the plain logarithm (three times as quick) where that loses no more than two digits."""
    return math.log(1.0 + x) if abs(x) > 0.05 else math.log1p(x)


@inlined
def stirling(x):
    """lgamma(x) - (x - 1/2) log x + x - log(2 pi)/2, for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    series = 1.0 / 1260 - z * (1.0 / 1680 - z * (1.0 / 1188 - z * 691.0 / 360360))
    return (1.0 / 12 - z * (1.0 / 360 - z * series)) / x


@inlined
def digamma_series(x):
    """log x - digamma(x), for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    series = z * (1.0 / 12 - z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * 691.0 / 32760)))))
    return 0.5 / x + series


@inlined
def trigamma_series(x):
    """trigamma(x), for x >= 8: 1e-14."""
    z = 1.0 / (x * x)
    series = z * (1.0 / 6 - z * (1.0 / 30 - z * (1.0 / 42 - z * (1.0 / 30 - z * (5.0 / 66 - z * 691.0 / 2730)))))
    return (1.0 + 0.5 / x + series) / x


@inner
def fill_table(r, order, table):
    """Put what depends on r alone into the table of shape TABLE: order 0 for log_rising, 1 for derivative_gap.

    Row 0: sums of log(1 + k/r); row 1: of 1/(r + k), each over k below the column's number, up to DIRECT. Then the
    series at the argument from which the asymptotic form starts, and the log of its ratio to r.
    """
    base = r if r >= ASYMPTOTIC else r + DIRECT
    if order == 0:
        product = 1.0
        table[0, 0] = 0.0
        for k in range(DIRECT):
            product *= 1.0 + k / r
            table[0, k + 1] = math.log(product)
        table[0, SERIES] = stirling(base)
        table[0, SERIES + 1] = math.log(base / r)
        return
    table[1, 0] = 0.0
    for k in range(DIRECT):
        table[1, k + 1] = table[1, k] + 1.0 / (r + k)
    table[1, SERIES] = digamma_series(base)


@inner
def log_rising(y, r, table):
    """lgamma(y + r) - lgamma(r) - y log r for a whole count y >= 0 and r > 0."""
    if y < DIRECT:
        return table[0, int(y)]
    if r >= ASYMPTOTIC:
        return (y + r - 0.5) * log_one_plus(y / r) - y + stirling(y + r) - table[0, SERIES]
    rest, high = y - DIRECT, r + DIRECT
    tail = rest * table[0, SERIES + 1] + (y + r - 0.5) * log_one_plus(rest / high) - rest
    return table[0, DIRECT] + tail + stirling(y + r) - table[0, SERIES]


@inner
def likelihood_term(y, mu, r, table):
    """log_rising(y, r) - (y + r) log(1 + mu/r) as (term, ratio) with value term - log(ratio)/2.

    Half of a logarithm is left to the caller, who can take it of a product over samples.
    """
    if y < DIRECT:
        return table[0, int(y)] - (y + r) * log_one_plus(mu / r), 1.0
    total = y + r
    if r >= ASYMPTOTIC:
        return total * log_one_plus((y - mu) / (mu + r)) - y + stirling(total) - table[0, SERIES], total / r
    rest, high = y - DIRECT, r + DIRECT
    term = total * math.log(total * r / (high * (mu + r))) + table[0, DIRECT] + rest * table[0, SERIES + 1] - rest
    return term + stirling(total) - table[0, SERIES], total / high


@inner
def derivative_gap(y, mu, r, table):
    """digamma(y + r) - digamma(r) - log(1 + mu/r) for a whole count y >= 0, mu > 0 and r > 0."""
    if y < DIRECT:
        return table[1, int(y)] - log_one_plus(mu / r)
    gap = table[1, SERIES] - digamma_series(y + r)
    if r >= ASYMPTOTIC:
        return log_one_plus((y - mu) / (mu + r)) + gap
    return table[1, DIRECT] + math.log((y + r) * r / ((r + DIRECT) * (r + mu))) + gap


@inner
def reference_log_gamma(x):
    """lgamma(x) with the rounding of the reference's formula, which decides where its likelihood is flat.

    Stirling's series as it stands, without its correction from 4934720 on (R's nmath, lgamma).
    """
    if x <= ASYMPTOTIC:
        return math.lgamma(x)
    value = HALF_LOG_2_PI + (x - 0.5) * math.log(x) - x
    return value if x > LARGE_ARGUMENT else value + stirling(x)
