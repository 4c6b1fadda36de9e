"""Korean: the verb last, a particle after each noun, chosen by its final sound."""

from data_pipelines.microtv.grammar import Grammar, Wordings, Words

_FORMS = {"": 0, "는": 1, "고": 2, "ㄴ": 1, "ㄹ": 2}
"""What a wording asks for -> which of the forms that a verb or adjective lists."""


def _inflect(word: str, wanted: str) -> str:
    """`{object:을/를}` 공을 or 의자를; `{action:고}` 들고; `{quality:ㄹ}` 지루할."""
    if "/" in wanted:
        after_consonant, after_vowel = wanted.split("/")
        return word + (after_consonant if _ends_in_consonant(word) else after_vowel)
    return word.split("|")[_FORMS[wanted]]


def _ends_in_consonant(word: str) -> bool:
    """Hangul syllables come in runs of 28, the first of each without a final."""
    return (ord(word[-1]) - ord("가")) % 28 != 0


_WORDS: Words = {
    "character": {
        "anna": ("안나",),
        "ben": ("벤",),
        "carla": ("카를라",),
        "david": ("데이비드",),
        "emma": ("에마",),
        "frank": ("프랭크",),
        "grace": ("그레이스",),
        "henry": ("헨리",),
    },
    "action": {
        "lift": ("든다|드는|들고", "올린다|올리는|올리고"),
        "kick": ("찬다|차는|차고",),
        "push": ("민다|미는|밀고",),
        "hug": ("안는다|안는|안고", "껴안는다|껴안는|껴안고"),
        "throw": ("던진다|던지는|던지고",),
        "point": ("가리킨다|가리키는|가리키고",),
        "wash": ("닦는다|닦는|닦고", "씻는다|씻는|씻고"),
        "photograph": ("찍는다|찍는|찍고",),
    },
    "object": {
        "ball": ("공",),
        "box": ("상자",),
        "lamp": ("전등",),
        "cake": ("케이크",),
        "guitar": ("기타",),
        "chair": ("의자",),
        "book": ("책",),
        "hat": ("모자",),
        "bottle": ("병",),
        "clock": ("시계",),
    },
    "place": {
        "kitchen": ("부엌",),
        "garden": ("정원",),
        "office": ("사무실",),
        "street": ("거리",),
        "beach": ("바닷가",),
        "library": ("도서관",),
    },
    "light": {
        "night": ("밤에", "어두울 때"),
        "rain": ("빗속에서", "비가 올 때"),
        "snow": ("눈 속에서", "눈이 올 때"),
        "sunset": ("해가 질 때", "저녁에"),
        "sunshine": ("맑은 날에", "햇살 아래"),
    },
    "who": {
        "brother": ("형",),
        "sister": ("누나",),
        "teacher": ("선생님",),
        "doctor": ("의사",),
        "neighbour": ("이웃",),
        "boss": ("사장",),
        "grandmother": ("할머니",),
        "cousin": ("사촌",),
    },
    "topic": {
        "concert": ("음악회",),
        "wedding": ("결혼식",),
        "exam": ("시험",),
        "trip": ("여행",),
        "dinner": ("만찬",),
        "party": ("잔치",),
        "interview": ("면접",),
        "race": ("경주",),
        "lecture": ("강연",),
        "meeting": ("회의",),
    },
    "day": {
        "monday": ("월요일",),
        "tuesday": ("화요일",),
        "wednesday": ("수요일",),
        "thursday": ("목요일",),
        "friday": ("금요일",),
        "saturday": ("토요일",),
        "sunday": ("일요일",),
    },
    "quality": {
        "boring": ("지루하다|지루한|지루할", "따분하다|따분한|따분할"),
        "expensive": ("비싸다|비싼|비쌀",),
        "noisy": ("시끄럽다|시끄러운|시끄러울",),
        "short": ("짧다|짧은|짧을",),
        "wonderful": ("훌륭하다|훌륭한|훌륭할", "멋지다|멋진|멋질"),
        "private": ("은밀하다|은밀한|은밀할",),
        "crowded": ("붐비다|붐비는|붐빌",),
        "dangerous": ("위험하다|위험한|위험할",),
    },
}

_WORDINGS = {
    "v": Wordings(
        usual=(
            "{light} {character:이/가} {place}에서 {object:을/를} {action}.",
            "{place}에서 {character:이/가} {light} {object:을/를} {action}.",
            "{character:이/가} {light} {place}에서 {object:을/를} {action:고} 있다.",
            "{light} {place}에서 {object:을/를} {action:는} {character:이/가} 보인다.",
        ),
        held_out=(
            "{place}에서 {light} {object:을/를} {action:는} {character:이/가} 보인다.",
            "{light} {place}에서 {character:이/가} {object:을/를} {action:고} 있다.",
        ),
    ),
    "t": Wordings(
        usual=(
            "누군가 {day}에 있을 {who}의 {topic:이/가} {quality:ㄹ} 거라고 말한다.",
            "사람들이 {day}에 있을 {who}의 {quality:ㄴ} {topic}에 대해 이야기한다.",
            "{who}의 {topic:이/가} {day}에 있고 {quality:ㄹ} 거라고 한다.",
            "{day}에 {who}의 {quality:ㄴ} {topic:이/가} 있다고 누군가 말한다.",
        ),
        held_out=(
            "사람들이 {who}의 {topic:이/가} {day}에 있고 {quality:ㄹ} 거라고 말한다.",
            "누군가 {day}에 {who}의 {quality:ㄴ} {topic:이/가} 있다고 한다.",
        ),
    ),
    "vt": Wordings(
        usual=(
            "누군가 {day}에 있을 {who}의 {topic:을/를} 말할 때 {character:이/가}"
            " {object:을/를} {action}.",
            "{character:이/가} {object:을/를} {action:고} 있을 때 {who}의"
            " {topic:이/가} {day}에 있다고 들린다.",
            "사람들이 {day}에 있을 {who}의 {topic:을/를} 이야기하는 동안"
            " {character:이/가} {object:을/를} {action}.",
            "{object:을/를} {action:는} {character:이/가} 보이고 {day}에 있을 {who}의"
            " {topic:이/가} 들린다.",
        ),
        held_out=(
            "사람들이 {day}에 있을 {who}의 {topic:을/를} 말할 때 {character:이/가}"
            " {object:을/를} {action:고} 있다.",
            "누군가 {day}에 있을 {who}의 {topic:을/를} 이야기하는 동안 {object:을/를}"
            " {action:는} {character:이/가} 보인다.",
        ),
    ),
    "tell": Wordings(
        usual=(
            "우리 {who}의 {topic:이/가} {day}에 있는데 {quality:ㄹ} 거야.",
            "{day}에 우리 {who}의 {quality:ㄴ} {topic:이/가} 있어.",
            "우리 {who}의 {topic:은/는} {day}에 있고 {quality:ㄹ} 것 같아.",
            "{day}에 있을 우리 {who}의 {topic:은/는} {quality:ㄹ} 거야.",
        ),
        held_out=(
            "우리 {who}의 {quality:ㄴ} {topic:이/가} {day}에 있어.",
            "{day}에 우리 {who}의 {topic:이/가} 있는데 {quality:ㄹ} 것 같아.",
        ),
    ),
    "echo": Wordings(
        usual=(
            "정말 {topic:이/가} {day}에 있어?",
            "그러니까 {day}에 있을 {topic:을/를} 말하는 거야?",
            "{day}에 {topic:이/가} 있다고?",
        ),
        held_out=(
            "정말 {day}에 {topic:이/가} 있다고?",
            "그러니까 {topic:이/가} {day}에 있어?",
        ),
    ),
    "answer": Wordings(
        usual=(
            "응, 우리 {who:이/가} {quality:ㄹ} 거라고 했어.",
            "너희 {who:이/가} {quality:ㄹ} 거라고 알고 있어.",
            "{quality:ㄹ} 거라고 우리 {who:이/가} 말했어.",
        ),
        held_out=("응, 너희 {who:이/가} {quality:ㄹ} 거라고 말했어.",),
    ),
    "recall": Wordings(
        usual=(
            "너희 {who}의 {topic:을/를} 알고 있어.",
            "{topic:을/를} 잊었어, 너희 {who}의 {topic:을/를}.",
            "그러니까 너희 {who}의 {topic:이/가} 있어.",
        ),
        held_out=(
            "너희 {who}의 {topic:을/를} 잊었어.",
            "그러니까 너희 {who}의 {topic:을/를} 알고 있어.",
        ),
    ),
    "ask_shown": Wordings(
        usual=(
            "{character:이/가} {place}에서 무엇을 {action:고} 있을까?",
            "{place}에서 {character:이/가} {action:는} 것은 무엇일까?",
        ),
        held_out=("{place}에서 {character:이/가} 무엇을 {action:고} 있을까?",),
    ),
    "choice_shown": Wordings(usual=("{object}.",), held_out=("그러니까 {object}.",)),
    "ask_told": Wordings(
        usual=(
            "{who}의 {topic:은/는} 언제 있을까?",
            "언제 {who}의 {topic:이/가} 있을까?",
        ),
        held_out=("{who}의 {topic:이/가} 언제 있을까?",),
    ),
    "choice_told": Wordings(usual=("{day}에.",), held_out=("{day}에 있어.",)),
}

KOREAN = Grammar("ko", _WORDS, _inflect, _WORDINGS)
