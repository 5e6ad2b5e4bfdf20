"""Synthetic recall beyond the window: what is asked for stands somewhere in long real text."""

from collections.abc import Callable, Sequence

from mnemon.evaluate.episode import Episode, Evidence, Question, Told, Writer

DOCUMENTS = 4
NEEDLES = 8
VALUES = 2
KINDS = ("code", "number", "password", "secret", "special number", "capital")
SPACING = 40  # tokens to a sentence in training, of which it takes about half


def passkey(write: Writer) -> Episode:
    """One number in one document."""
    key = write.invent.number()
    told, (evidence,) = write.told("document", [f"The pass key is {key}."])
    return Episode((told,), (_asked("The pass key is", key, evidence),))


def needle(write: Writer) -> Episode:
    """Several names with a number each, spread over several documents; one of them is asked for."""
    codes = {write.invent.name(): write.invent.number() for _ in range(NEEDLES)}
    told, evidence = spread(write, [f"The code of {name} is {code}." for name, code in codes.items()])
    asked = write.choose(NEEDLES)
    name, code = list(codes.items())[asked]
    return Episode(told, (_asked(f"The code of {name} is", code, evidence[asked]),))


def overwrite(write: Writer) -> Episode:
    """A later document gives a name another number: the latest counts. A window or more lies between the two."""
    name = write.invent.name()
    numbers = [write.invent.number() for _ in range(VALUES)]
    written = [
        write.told(f"version {at}", [f"The number of {name} is {number}."], 1 / VALUES, after=at and write.window)
        for at, number in enumerate(numbers)
    ]
    evidence = written[-1][1][0]
    return Episode(tuple(told for told, _ in written), (_asked(f"The number of {name} is", numbers[-1], evidence),))


def forget(write: Writer) -> Episode:
    """A number that is recalled, and is not once its document is forgotten."""
    name, word = write.invent.name(), write.invent.number()
    secret, (evidence,) = write.told("secret", [f"The password of {name} is {word}."], 1 / 2)
    other, _ = write.told("other", [f"The password of {write.invent.name()} is {write.invent.number()}."], 1 / 2)
    prompt = f"The password of {name} is"
    after = Question(_line(prompt), (), never=(word,), forget=(secret.name,))
    return Episode((secret, other), (_asked(prompt, word, evidence), after))


def isolation(write: Writer) -> Episode:
    """Rows with memories of their own: two know different numbers of one name, the third knows none of them.

    Each must tell its own and none of the others'.
    """
    name = write.invent.name()
    secrets = {namespace: write.invent.number() for namespace in ("first", "second")}
    prompt = f"The secret of {name} is"
    told: list[Told] = []
    questions: list[Question] = []
    for namespace, secret in secrets.items():
        document, (evidence,) = write.told(f"of the {namespace}", [f"{prompt} {secret}."], namespace=namespace)
        told.append(document)
        others = tuple(other for other in secrets.values() if other != secret)
        questions.append(_asked(prompt, secret, evidence, namespace, others))
    third, _ = write.told(
        "of the third", [f"The secret of {write.invent.name()} is {write.invent.number()}."], namespace="third"
    )
    ignorant = Question(_line(prompt), (), "third", never=tuple(secrets.values()))
    return Episode((*told, third), (*questions, ignorant))


def facts(write: Writer) -> Episode:
    """Invented capitals of invented countries, spread over several documents; the citation must be right as well."""
    capitals = {write.invent.place(): write.invent.place() for _ in range(NEEDLES)}
    told, evidence = spread(write, [f"The capital of {place} is {capital}." for place, capital in capitals.items()])
    asked = write.choose(NEEDLES)
    place, capital = list(capitals.items())[asked]
    question = Question(_line(f"The capital of {place} is"), (f" {capital}.",), evidence=(evidence[asked],), cited=True)
    return Episode(told, (question,))


def mixed(write: Writer) -> Episode:
    """Sentences of all tasks in two documents, and a question for each: what a model is trained on.

    Half of the values are replaced in the second document, however soon.
    """
    first: list[str] = []
    second: list[str] = []
    questions = []
    key = write.invent.number()
    first.append(f"The pass key is {key}.")
    questions.append(Question(_line("The pass key is"), (f" {key}.",)))
    while SPACING * (len(first) + len(second) + VALUES) <= write.tokens:
        kind = KINDS[write.choose(len(KINDS))]
        name, *values = _invented(write, kind)
        prompt = f"The {kind} of {name} is"
        if write.choose(2):
            first.append(f"{prompt} {values.pop()}.")
            second.append(f"{prompt} {values[0]}.")
        else:
            (first, second)[write.choose(2)].append(f"{prompt} {values[0]}.")
        questions.append(Question(_line(prompt), (f" {values[0]}.",)))
    told = write.told("first", first, 1 / 2)[0], write.told("second", second, 1 / 2)[0]
    return Episode(told, tuple(questions))


def _invented(write: Writer, kind: str) -> tuple[str, str, str]:
    """A name, and two values of this kind."""
    if kind == "capital":
        return write.invent.place(), write.invent.place(), write.invent.place()
    digits = 7 if kind == "special number" else 5
    return write.invent.name(), write.invent.number(digits), write.invent.number(digits)


def spread(write: Writer, sentences: Sequence[str]) -> tuple[tuple[Told, ...], list[Evidence]]:
    """Documents that together have these sentences, dealt out at random, and where each sentence stands."""
    place = [write.choose(DOCUMENTS) for _ in sentences]
    told: list[Told] = []
    found: dict[int, Evidence] = {}
    for document in range(DOCUMENTS):
        mine = [at for at, where in enumerate(place) if where == document]
        written, evidence = write.told(f"document {document}", [sentences[at] for at in mine], 1 / DOCUMENTS)
        told.append(written)
        found |= zip(mine, evidence, strict=True)
    return tuple(told), [found[at] for at in range(len(sentences))]


def _asked(prompt: str, answer: str, evidence: Evidence, namespace: str = "", never: tuple[str, ...] = ()) -> Question:
    return Question(_line(prompt), (f" {answer}.",), namespace, never=never, evidence=(evidence,))


def _line(prompt: str) -> str:
    """A line begins, as those do that are hidden."""
    return f"\n{prompt}"


TASKS: dict[str, Callable[[Writer], Episode]] = {
    "passkey": passkey,
    "needle": needle,
    "overwrite": overwrite,
    "forget": forget,
    "isolation": isolation,
    "facts": facts,
}
