"""Chinese: a classifier before the noun; time and place before the verb."""

from data_pipelines.microtv.grammar import Grammar, Wordings, Words


def _inflect(word: str, wanted: str) -> str:
    """`{object}` 台灯, `{object:一}` 一盏台灯 with the classifier of its noun."""
    noun, *classifier = word.split("|")
    return f"一{classifier[0]}{noun}" if wanted == "一" else noun


_WORDS: Words = {
    "character": {
        "anna": ("安娜",),
        "ben": ("本杰",),
        "carla": ("卡拉",),
        "david": ("大卫",),
        "emma": ("艾玛",),
        "frank": ("弗兰克",),
        "grace": ("格蕾丝",),
        "henry": ("亨利",),
    },
    "action": {
        "lift": ("举起", "抬起"),
        "kick": ("踢",),
        "push": ("推",),
        "hug": ("抱住", "搂住"),
        "throw": ("扔出", "抛出"),
        "point": ("指着",),
        "wash": ("清洗", "擦洗"),
        "photograph": ("拍摄",),
    },
    "object": {
        "ball": ("皮球|个",),
        "box": ("箱子|只",),
        "lamp": ("台灯|盏",),
        "cake": ("蛋糕|块",),
        "guitar": ("吉他|把",),
        "chair": ("椅子|把",),
        "book": ("书|本",),
        "hat": ("帽子|顶",),
        "bottle": ("瓶子|个",),
        "clock": ("闹钟|个",),
    },
    "place": {
        "kitchen": ("厨房里",),
        "garden": ("花园里",),
        "office": ("办公室里",),
        "street": ("街道上",),
        "beach": ("海滩上",),
        "library": ("图书馆里",),
    },
    "light": {
        "night": ("夜里", "深夜"),
        "rain": ("雨中", "下雨时"),
        "snow": ("雪中", "下雪时"),
        "sunset": ("日落时", "傍晚"),
        "sunshine": ("晴天", "阳光下"),
    },
    "who": {
        "brother": ("哥哥",),
        "sister": ("姐姐",),
        "teacher": ("老师",),
        "doctor": ("医生",),
        "neighbour": ("邻居",),
        "boss": ("老板",),
        "grandmother": ("奶奶",),
        "cousin": ("表弟",),
    },
    "topic": {
        "concert": ("音乐会|场",),
        "wedding": ("婚礼|场",),
        "exam": ("考试|次",),
        "trip": ("旅行|次",),
        "dinner": ("晚餐|顿",),
        "party": ("聚会|次",),
        "interview": ("面试|次",),
        "race": ("赛跑|场",),
        "lecture": ("讲座|场",),
        "meeting": ("会议|个",),
    },
    "day": {
        "monday": ("星期一", "周一"),
        "tuesday": ("星期二", "周二"),
        "wednesday": ("星期三", "周三"),
        "thursday": ("星期四", "周四"),
        "friday": ("星期五", "周五"),
        "saturday": ("星期六", "周六"),
        "sunday": ("星期日", "周日"),
    },
    "quality": {
        "boring": ("无聊", "乏味"),
        "expensive": ("昂贵",),
        "noisy": ("吵闹", "喧闹"),
        "short": ("短暂",),
        "wonderful": ("精彩", "出色"),
        "private": ("私密",),
        "crowded": ("拥挤",),
        "dangerous": ("危险",),
    },
}

_WORDINGS = {
    "v": Wordings(
        usual=(
            "{light}，{character}在{place}{action}{object:一}。",
            "在{place}，{character}{light}{action}{object:一}。",
            "{character}{light}正在{place}{action}{object:一}。",
            "我们看到{light}{character}在{place}{action}{object:一}。",
            "{place}有{object:一}，{light}{character}正在{action}它。",
        ),
        held_out=(
            "我们看到{character}{light}正在{place}{action}{object:一}。",
            "在{place}有{object:一}，{character}{light}{action}它。",
        ),
    ),
    "t": Wordings(
        usual=(
            "有人说{who}的{topic}在{day}，会很{quality}。",
            "他们谈到{who}{day}的{topic}很{quality}。",
            "有人提到{day}{who}有{topic:一}，会很{quality}。",
            "我们听到，{day}{who}的{topic}会很{quality}。",
            "{who}{day}有很{quality}的{topic}，有人谈到。",
        ),
        held_out=(
            "他们说{day}{who}有很{quality}的{topic}。",
            "有人谈到{who}的{topic}在{day}，很{quality}。",
        ),
    ),
    "vt": Wordings(
        usual=(
            "{character}{action}{object:一}，同时有人谈到{who}{day}的{topic}。",
            "他们谈到{day}{who}的{topic}时，{character}正在{action}{object:一}。",
            "我们听到{who}{day}的{topic}，{character}正在{action}{object:一}。",
            "{character}正在{action}{object:一}，有人提到{who}的{topic}在{day}。",
        ),
        held_out=(
            "有人谈到{who}的{topic}在{day}，同时{character}{action}{object:一}。",
            "我们听到{day}{who}的{topic}时，{character}{action}{object:一}。",
        ),
    ),
    "tell": Wordings(
        usual=(
            "我{who}的{topic}在{day}，会很{quality}。",
            "{day}我{who}有{topic:一}，很{quality}。",
            "我想{who}{day}的{topic}会很{quality}。",
            "我{who}{day}有很{quality}的{topic}。",
        ),
        held_out=(
            "我想{day}我{who}的{topic}会很{quality}。",
            "{day}我{who}有很{quality}的{topic}。",
        ),
    ),
    "echo": Wordings(
        usual=(
            "真的吗，{day}的{topic}？",
            "所以{topic}在{day}？",
            "你是说{day}有{topic:一}？",
        ),
        held_out=("真的吗，{topic}在{day}？", "你是说{day}的{topic}？"),
    ),
    "answer": Wordings(
        usual=(
            "对，我{who}说很{quality}。",
            "你{who}一定知道很{quality}。",
            "很{quality}，我{who}说。",
        ),
        held_out=("对，你{who}一定知道很{quality}。",),
    ),
    "recall": Wordings(
        usual=(
            "我知道你{who}的{topic}。",
            "你{who}的{topic}我忘了。",
            "所以你{who}有{topic:一}。",
        ),
        held_out=("我忘了你{who}的{topic}。", "你{who}的{topic}我知道。"),
    ),
    "ask_shown": Wordings(
        usual=(
            "{character}在{place}{action}什么？",
            "在{place}，{character}{action}什么？",
        ),
        held_out=("{character}正在{place}{action}什么？",),
    ),
    "choice_shown": Wordings(usual=("{object:一}。",), held_out=("是{object:一}。",)),
    "ask_told": Wordings(
        usual=("{who}的{topic}在什么时候？", "{who}什么时候有{topic:一}？"),
        held_out=("什么时候有{who}的{topic}？",),
    ),
    "choice_told": Wordings(usual=("在{day}。",), held_out=("是{day}。",)),
}

CHINESE = Grammar("zh", _WORDS, _inflect, _WORDINGS)
