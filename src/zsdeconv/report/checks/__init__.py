"""The checks of a report, one file each and all of one shape.

A check has a `KEY`, a `TITLE` and a `QUESTION`, the names of its `NUMBERS`, a function `measure` that gives a result, and a function
`section` that judges the result. `zsdeconv.report.assess` is the table of them.
"""
