"""The text that a rater agrees to, in plain words and true to what is stored."""

from __future__ import annotations

from dataclasses import replace

from keenframe.study.design import Study


def consent_text(study: Study, own: str | None) -> Study:
    """The study with its consent text: `own`, split at empty lines, or the usual one, then what is stored."""
    if own is not None:
        told = [" ".join(block.split()) for block in own.split("\n\n") if block.strip()]
    else:
        moving = any(source.moving for source in study.rated)
        what = "short video clips" if moving else "pictures"
        told = [
            f"In this study you judge the quality of {what}. There are no right or wrong opinions: "
            "we want to know what you see.",
            f"It takes about {study.minutes} minutes. You need normal or corrected sight (please wear your glasses) "
            "and a screen, better a large one than a small one.",
            "Taking part is voluntary. You can stop at any time by closing the page, and go on later in the same "
            "browser with the same link. What you have answered until then stays stored, without your name.",
        ]
    told.append(stored_text(study))
    if study.contact:
        told.append(f"Questions about the study? Contact: {study.contact}")
    return replace(study, consent=tuple(told))


def stored_text(study: Study) -> str:
    """What is kept of a rater."""
    asked = " and your answers about yourself" if study.questions else ""
    return (
        "Stored are your answers, the time you take for them, the size of your window and the results of a short "
        f"check of screen and sight{asked}. Not stored are your name, your address on the network, or anything "
        "that tells your browser from others. A random number in your browser remembers where you are."
    )
