"""Write ``docs/claims.md``: every claim, the command that tests it, its figure, the verdict.

Nothing is run: the figures come from the committed results of the other benchmarks.
"""

from collections import Counter
from collections.abc import Iterable

from benchmarks.claims.claims import Claim, of_its_future_work, of_ours, of_the_paper
from benchmarks.claims.figures import FAILS, HOLDS, IN_PART, OPEN
from benchmarks.common.pages import DOCS, markdown_table
from edl_jax import cli

PAGE = DOCS / "claims.md"
PARTS = {
    "The paper": of_the_paper,
    "The paper's future work": of_its_future_work,
    "This project": of_ours,
}


def section(claims: Iterable[Claim]) -> str:
    """Claims as a table."""
    rows = [
        [claim.says, f"**{claim.verdict}**", claim.figure, f"`{claim.command}`"] for claim in claims
    ]
    return markdown_table(["claim", "verdict", "figure", "command"], rows)


def _commands(claim: Claim) -> str:
    return "; ".join(f"`{command}`" for command in claim.command.split("; "))


def page() -> str:
    """The whole page."""
    found = {title: list(claims()) for title, claims in PARTS.items()}
    counts = Counter(claim.verdict for claims in found.values() for claim in claims)
    said = (
        f"Of {counts.total()} claims {counts[HOLDS]} hold, {counts[IN_PART]} hold in part, "
        f"{counts[FAILS]} do not, and {counts[OPEN]} are open."
    )
    sections = "\n\n".join(f"## {title}\n\n{section(claims)}" for title, claims in found.items())
    return f"""# Claims

What Xiang and Pei claim (arXiv 2605.03722, as far as its abstract and summary say), what they leave
to later work, and what this project says, each with the command that tests it.
`python -m benchmarks.claims` writes this page from the committed results; a test fails where it and
they differ. {said}

Brackets hold 95 % bootstrap intervals over *n* pairs of one seed each; with five seeds they say how
much these scatter, not more. Differences are in points of test accuracy. *Unaware*: with the
learning rate that is best on clean labels; *aware*: with the one that is best under the noise. A
claim that something is above or faster holds where every interval says so; that it is not below,
where no interval says the contrary; of many comparisons, where more of them say so than chance
makes. A command runs what the results do not hold yet.

{sections}
"""


def command() -> None:
    """Write the page."""
    PAGE.write_text(page())
    print(f"Written: {PAGE}")


if __name__ == "__main__":
    cli.main(command)
