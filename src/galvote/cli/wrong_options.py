"""What to write instead of an option that a verb does not have."""

from typing import Any

from typer.core import TyperCommand

SYNONYMS = {
    "--tta": ("--views", "--augment", "--augmentations", "--orientations"),
    "--out": ("--output", "--output-dir", "--out-dir", "-o", "--save"),
    "--model": ("--weights", "--checkpoint", "--ckpt", "-m"),
    "--images": ("--input", "--inputs", "--image", "--data", "-i"),
    "--votes": ("--labels", "--targets", "--truth"),
    "--backend": ("--device", "--gpu"),
    "--level": ("--confidence", "--alpha"),
    "--overwrite": ("--force", "-f"),
    "--set training.learning_rate=": ("--lr", "--learning-rate"),
    "--set training.epochs=": ("--epochs",),
    "--set training.batch_size=": ("--batch-size",),
    "--set seed=": ("--seed",),
}
"""Options by what other programs call them."""


class Verb(TyperCommand):
    """A verb that says, of an option it does not have, which is meant or who has it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the words after the verb."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            wrong: Any = error  # typer's version decides which module has the class
            if type(error).__name__ == "NoSuchOption" and (hint := _advise(ctx, wrong.option_name)):
                wrong.message, wrong.possibilities = f"{wrong.message}. {hint}", None
            raise


def _advise(ctx: Any, wrong: str) -> str:
    """Return what to write instead of an option, or nothing if nothing is known."""
    meant = next((option for option, names in SYNONYMS.items() if wrong in names), wrong)
    option = meant.split()[0]
    if any(option in parameter.opts for parameter in ctx.command.params):
        return f"Use {meant}"
    names = {"images", "image", "sources"} if option == "--images" else {option[2:]}
    if any(parameter.name in names for parameter in ctx.command.params):
        return f"It needs no option: galvote {ctx.command.name} {option[2:].upper()}"
    verbs = ctx.parent.command.commands if ctx.parent else {}
    owners = [name for name, verb in verbs.items() if any(option in one.opts for one in verb.params)]
    return f"{meant} is an option of galvote {', '.join(owners)}" if owners else ""
