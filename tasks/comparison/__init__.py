"""Schemes compared at equal budgets over the same problems, with the two baselines that every search has to beat.

entries   what is compared: schemes with their parameters, and the baselines        budgets   what each search may pay
cells     one run for each (entry, budget, seed): planned, searched, resumed         code      the version of this program
results   the rows of the comparison, from the store                                 stats     intervals, paired differences
report    Markdown and text                                                          plot      the picture
policy    which scheme to use for which difficulty, learned and cross-validated
"""
