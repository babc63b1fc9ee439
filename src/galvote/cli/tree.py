"""`galvote tree`: print the decision tree."""


def tree() -> None:
    """Print the decision tree: questions, answers, and where each answer leads."""
    from rich.console import Console
    from rich.table import Table

    from galvote.trees import GZ2

    numbers = {question.name: number for number, question in enumerate(GZ2.questions, start=1)}
    table = Table("", "question", "column", "answer", "next", title=f"{GZ2.name}: {len(GZ2)} answers")
    for question in GZ2.questions:
        for place, answer in enumerate(question.answers):
            table.add_row(
                str(numbers[question.name]) if place == 0 else "",
                question.text if place == 0 else "",
                answer.column,
                answer.text,
                f"{numbers[answer.leads_to]} {answer.leads_to}" if answer.leads_to else "end",
                end_section=place == len(question.answers) - 1,
            )
    Console().print(table)
