"""The opinion study: prepare stimuli, serve them to raters, collect answers, analyse them.

    design.py      what a study is, as study.json holds it
    plan.py        what one rater sees, in which order
    prepare/       pictures and clips in, a study folder out
    database.py    invitations, raters and answers (SQLite)
    steps.py       what the page learns of a step, what it may answer, how checks are scored
    server/        the raters' page and its API
    analysis/      answers in, opinion scores and a report out
    export.py      everything, anonymised, for others

Loads no server and no engine by itself.
"""
