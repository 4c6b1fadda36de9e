"""English: articles, third person and -ing, facts after the verb."""

from data_pipelines.microtv.grammar import Grammar, Wordings, Words


def _inflect(word: str, wanted: str) -> str:
    """`{action}` lifts, `{action:ing}` lifting, `{object:a}` with its article."""
    forms = word.split("|")
    if wanted == "a":
        return ("an " if forms[0][0] in "aeiou" else "a ") + forms[0]
    return forms[-1] if wanted == "ing" else forms[0]


def _finish(sentence: str) -> str:
    return sentence[0].upper() + sentence[1:]


_WORDS: Words = {
    "character": {
        "anna": ("Anna",),
        "ben": ("Ben",),
        "carla": ("Carla",),
        "david": ("David",),
        "emma": ("Emma",),
        "frank": ("Frank",),
        "grace": ("Grace",),
        "henry": ("Henry",),
    },
    "action": {
        "lift": ("lifts|lifting", "raises|raising"),
        "kick": ("kicks|kicking",),
        "push": ("pushes|pushing", "shoves|shoving"),
        "hug": ("hugs|hugging", "embraces|embracing"),
        "throw": ("throws|throwing", "tosses|tossing"),
        "point": ("points at|pointing at",),
        "wash": ("washes|washing", "cleans|cleaning"),
        "photograph": ("photographs|photographing",),
    },
    "object": {
        "ball": ("ball",),
        "box": ("box",),
        "lamp": ("lamp",),
        "cake": ("cake",),
        "guitar": ("guitar",),
        "chair": ("chair",),
        "book": ("book",),
        "hat": ("hat",),
        "bottle": ("bottle",),
        "clock": ("clock",),
    },
    "place": {
        "kitchen": ("in the kitchen",),
        "garden": ("in the garden",),
        "office": ("at the office",),
        "street": ("on the street",),
        "beach": ("on the beach",),
        "library": ("in the library",),
    },
    "light": {
        "night": ("at night", "in the dark"),
        "rain": ("in the rain", "on a rainy day"),
        "snow": ("in the snow", "on a snowy day"),
        "sunset": ("at sunset", "in the evening"),
        "sunshine": ("in the sunshine", "on a sunny day"),
    },
    "who": {
        "brother": ("brother",),
        "sister": ("sister",),
        "teacher": ("teacher",),
        "doctor": ("doctor",),
        "neighbour": ("neighbour",),
        "boss": ("boss",),
        "grandmother": ("grandmother",),
        "cousin": ("cousin",),
    },
    "topic": {
        "concert": ("concert",),
        "wedding": ("wedding",),
        "exam": ("exam",),
        "trip": ("trip",),
        "dinner": ("dinner",),
        "party": ("party",),
        "interview": ("interview",),
        "race": ("race",),
        "lecture": ("lecture",),
        "meeting": ("meeting",),
    },
    "day": {
        "monday": ("Monday",),
        "tuesday": ("Tuesday",),
        "wednesday": ("Wednesday",),
        "thursday": ("Thursday",),
        "friday": ("Friday",),
        "saturday": ("Saturday",),
        "sunday": ("Sunday",),
    },
    "quality": {
        "boring": ("boring", "dull"),
        "expensive": ("expensive",),
        "noisy": ("noisy", "loud"),
        "short": ("short",),
        "wonderful": ("wonderful", "splendid"),
        "private": ("private",),
        "crowded": ("crowded",),
        "dangerous": ("dangerous",),
    },
}

_WORDINGS = {
    "v": Wordings(
        usual=(
            "{character} {action} {object:a} {place} {light}.",
            "{light}, {character} {action} {object:a} {place}.",
            "{place}, {character} {action} the {object} {light}.",
            "{character} is {place} {action:ing} {object:a} {light}.",
            "we see {character} {action:ing} the {object} {place} {light}.",
        ),
        held_out=(
            "{light}, we see {character} {place} {action:ing} {object:a}.",
            "{place}, {character} is {action:ing} the {object} {light}.",
        ),
    ),
    "t": Wordings(
        usual=(
            "someone says that the {who}'s {topic} on {day} will be {quality}.",
            "they talk about the {quality} {topic} of the {who} on {day}.",
            "someone mentions that on {day} the {who} has {quality:a} {topic}.",
            "we hear that the {topic} of the {who} is on {day} and will be {quality}.",
            "on {day} the {topic} of the {who} will be {quality}, someone says.",
        ),
        held_out=(
            "they talk about the {who}'s {topic} that will be {quality} on {day}.",
            "someone says the {who} has {quality:a} {topic} on {day}.",
        ),
    ),
    "vt": Wordings(
        usual=(
            "{character} {action} {object:a} while someone talks about the {who}'s"
            " {topic} on {day}.",
            "while they talk about the {topic} of the {who} on {day}, {character}"
            " {action} the {object}.",
            "we hear about the {who}'s {topic} on {day} as {character} is {action:ing}"
            " {object:a}.",
            "{character} is {action:ing} the {object} when someone mentions the {topic}"
            " of the {who} on {day}.",
        ),
        held_out=(
            "while someone talks about the {topic} of the {who} on {day}, {character}"
            " is {action:ing} {object:a}.",
            "we hear about the {topic} of the {who} on {day} while {character} {action}"
            " the {object}.",
        ),
    ),
    "tell": Wordings(
        usual=(
            "my {who}'s {topic} is on {day} and it will be {quality}.",
            "on {day} my {who} has {quality:a} {topic}.",
            "the {topic} of my {who} on {day} will be {quality}, I think.",
            "I think my {who} has {quality:a} {topic} on {day}.",
        ),
        held_out=(
            "on {day} it will be {quality}, the {topic} of my {who}.",
            "my {who} has {quality:a} {topic} on {day}, I think.",
        ),
    ),
    "echo": Wordings(
        usual=(
            "really, the {topic} on {day}?",
            "so the {topic} is on {day}?",
            "you mean that on {day} there is {topic:a}?",
        ),
        held_out=(
            "really, there is {topic:a} on {day}?",
            "so you mean the {topic} on {day}?",
        ),
    ),
    "answer": Wordings(
        usual=(
            "yes, and my {who} says it is {quality}.",
            "your {who} must know that it is {quality}.",
            "it is {quality}, says my {who}.",
        ),
        held_out=("yes, your {who} must know it is {quality}.",),
    ),
    "recall": Wordings(
        usual=(
            "I know the {topic} of your {who}.",
            "I forgot your {who}'s {topic}.",
            "so your {who} has {topic:a}.",
        ),
        held_out=(
            "I forgot the {topic} of your {who}.",
            "I know your {who}'s {topic}.",
        ),
    ),
    "ask_shown": Wordings(
        usual=(
            "what is {character} {action:ing} {place}?",
            "{place}, what is it that {character} {action}?",
        ),
        held_out=("{place}, what is {character} {action:ing}?",),
    ),
    "choice_shown": Wordings(usual=("{object:a}.",), held_out=("the {object}.",)),
    "ask_told": Wordings(
        usual=(
            "when is the {topic} of the {who}?",
            "when is it that the {who} has {topic:a}?",
        ),
        held_out=("when is the {who}'s {topic}?",),
    ),
    "choice_told": Wordings(usual=("on {day}.",), held_out=("it is on {day}.",)),
}

ENGLISH = Grammar("en", _WORDS, _inflect, _WORDINGS, _finish)
