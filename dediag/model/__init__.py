"""The negative binomial GLM: one file per step, in the order of the method; fit.py shows the order."""
