"""The Galaxy Zoo 2 tree as the Kaggle *Galaxy Challenge* publishes it.

Questions and answers: Willett et al. 2013, MNRAS 435, 2835, table 2. Column names: the challenge's data page
(kaggle.com/c/galaxy-zoo-the-galaxy-challenge). Survey stems: the GZ2 catalogues of Willett et al. 2013 and
Hart et al. 2016.
"""

from galvote.trees.decision_tree import Answer, DecisionTree, Question

_AnswerRow = tuple[str, str, str, str | None]  # survey stem, text, phrase, leads to
_QuestionRow = tuple[str, str, str]  # name, survey stem, text

_ALWAYS_ASKED = {"odd"}
"""The challenge normalises "odd" to 1 although volunteers who answered "star or artifact" never saw it. The
survey does not: this is the release's own property."""

_QUALIFIES = {"roundness", "odd_feature", "edge_on_bulge", "arm_winding", "arm_number"}

_TABLE: tuple[tuple[_QuestionRow, tuple[_AnswerRow, ...]], ...] = (
    (
        (
            "smooth_or_features",
            "t01_smooth_or_features",
            "Is the galaxy simply smooth and rounded, with no sign of a disk?",
        ),
        (
            ("a01_smooth", "smooth", "smooth", "roundness"),
            ("a02_features_or_disk", "features or disk", "featured", "edge_on"),
            ("a03_star_or_artifact", "star or artifact", "star or artifact", None),
        ),
    ),
    (
        ("edge_on", "t02_edgeon", "Could this be a disk viewed edge-on?"),
        (
            ("a04_yes", "yes", "edge-on", "edge_on_bulge"),
            ("a05_no", "no", "not edge-on", "bar"),
        ),
    ),
    (
        ("bar", "t03_bar", "Is there a sign of a bar feature through the centre of the galaxy?"),
        (
            ("a06_bar", "bar", "barred", "spiral"),
            ("a07_no_bar", "no bar", "no bar", "spiral"),
        ),
    ),
    (
        ("spiral", "t04_spiral", "Is there any sign of a spiral arm pattern?"),
        (
            ("a08_spiral", "spiral", "spiral", "arm_winding"),
            ("a09_no_spiral", "no spiral", "no spiral", "bulge"),
        ),
    ),
    (
        (
            "bulge",
            "t05_bulge_prominence",
            "How prominent is the central bulge, compared with the rest of the galaxy?",
        ),
        (
            ("a10_no_bulge", "no bulge", "no bulge", "odd"),
            ("a11_just_noticeable", "just noticeable", "just noticeable bulge", "odd"),
            ("a12_obvious", "obvious", "obvious bulge", "odd"),
            ("a13_dominant", "dominant", "dominant bulge", "odd"),
        ),
    ),
    (
        ("odd", "t06_odd", "Is there anything odd?"),
        (
            ("a14_yes", "yes", "odd", "odd_feature"),
            ("a15_no", "no", "nothing odd", None),
        ),
    ),
    (
        ("roundness", "t07_rounded", "How rounded is it?"),
        (
            ("a16_completely_round", "completely round", "completely round", "odd"),
            ("a17_in_between", "in between", "in between round and cigar-shaped", "odd"),
            ("a18_cigar_shaped", "cigar-shaped", "cigar-shaped", "odd"),
        ),
    ),
    (
        (
            "odd_feature",
            "t08_odd_feature",
            "Is the odd feature a ring, or is the galaxy disturbed or irregular?",
        ),
        (
            ("a19_ring", "ring", "ring", None),
            ("a20_lens_or_arc", "lens or arc", "lens or arc", None),
            ("a21_disturbed", "disturbed", "disturbed", None),
            ("a22_irregular", "irregular", "irregular", None),
            ("a23_other", "other", "something else", None),
            ("a24_merger", "merger", "merger", None),
            ("a38_dust_lane", "dust lane", "dust lane", None),
        ),
    ),
    (
        (
            "edge_on_bulge",
            "t09_bulge_shape",
            "Does the galaxy have a bulge at its centre? If so, what shape?",
        ),
        (
            ("a25_rounded", "rounded", "rounded bulge", "odd"),
            ("a26_boxy", "boxy", "boxy bulge", "odd"),
            ("a27_no_bulge", "no bulge", "no bulge", "odd"),
        ),
    ),
    (
        ("arm_winding", "t10_arms_winding", "How tightly wound do the spiral arms appear?"),
        (
            ("a28_tight", "tight", "tightly wound", "arm_number"),
            ("a29_medium", "medium", "medium wound", "arm_number"),
            ("a30_loose", "loose", "loosely wound", "arm_number"),
        ),
    ),
    (
        ("arm_number", "t11_arms_number", "How many spiral arms are there?"),
        (
            ("a31_1", "1", "1 arm", "bulge"),
            ("a32_2", "2", "2 arms", "bulge"),
            ("a33_3", "3", "3 arms", "bulge"),
            ("a34_4", "4", "4 arms", "bulge"),
            ("a36_more_than_4", "more than 4", "more than 4 arms", "bulge"),
            ("a37_cant_tell", "can't tell", "arms too many or faint to count", "bulge"),
        ),
    ),
)

GZ2 = DecisionTree(
    name="gz2-challenge",
    questions=tuple(
        Question(
            name=name,
            text=text,
            always_asked=name in _ALWAYS_ASKED,
            qualifies=name in _QUALIFIES,
            answers=tuple(
                Answer(
                    column=f"Class{number}.{place}",
                    text=answer_text,
                    phrase=phrase,
                    leads_to=leads_to,
                    survey_stem=f"{question_stem}_{answer_stem}",
                )
                for place, (answer_stem, answer_text, phrase, leads_to) in enumerate(answers, start=1)
            ),
        )
        for number, ((name, question_stem, text), answers) in enumerate(_TABLE, start=1)
    ),
)
