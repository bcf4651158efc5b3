"""The words of quantity that the local reader knows, in English and Russian."""

import re
from decimal import Decimal
from itertools import product

HALF = Decimal("0.5")


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBERS: dict[str, Decimal] = {
    word: Decimal(value)
    for value, forms in {
        "0.25": "quarter четверть четвертинка четвертинку",
        "0.33": "third треть",
        "0.5": "half halves пол половина половину половины половиной половинка половинку половинки",
        "1": "one один одна одно одну одного одной",
        "1.5": "полтора полторы",
        "2": "two couple pair два две двух пара пару",
        "3": "three few several три трех несколько",
        "4": "four четыре четырех",
        "5": "five пять пяти",
        "6": "six шесть шести",
        "7": "seven семь семи",
        "8": "eight восемь восьми",
        "9": "nine девять девяти",
        "10": "ten десять десяти десяток",
        "11": "eleven одиннадцать",
        "12": "twelve dozen двенадцать дюжина дюжину",
        "15": "fifteen пятнадцать",
        "20": "twenty двадцать",
        "25": "twenty-five",
        "30": "thirty тридцать",
        "40": "forty сорок",
        "50": "fifty пятьдесят",
        "60": "sixty шестьдесят",
        "70": "seventy семьдесят",
        "80": "eighty восемьдесят",
        "90": "ninety девяносто",
        "100": "hundred сто",
        "200": "двести",
        "300": "триста",
        "400": "четыреста",
        "500": "пятьсот",
        "600": "шестьсот",
        "700": "семьсот",
        "800": "восемьсот",
        "900": "девятьсот",
        "1000": "thousand тысяча тысячу",
    }.items()
    for word in forms.split()
}
# "Two dozen" and "three hundred" multiply; "one hundred fifty" adds.
MULTIPLIERS = words("couple pair dozen hundred thousand дюжина дюжину десяток")
ARTICLES = words("a an")

SPOON_FORMS = words("ложка ложки ложку ложке ложкой ложек ложечка ложечки ложечку ложечек")


def spoon(adjectives: str) -> str:
    """Every adjective with every form: "столовая ложка|столовой ложки|…"."""
    return "|".join(" ".join(pair) for pair in product(adjectives.split(), SPOON_FORMS))


UNITS: dict[str, str] = {
    word: unit
    for unit, forms in {
        "mg": "mg|мг|миллиграмм|миллиграмма|миллиграммов",
        "g": "g|gr|gram|grams|gramme|grammes|г|гр|грамм|грамма|граммов|грам|граммы",
        "kg": "kg|kgs|kilo|kilos|kilogram|kilograms|кг|кило|килограмм|килограмма|килограммов",
        "oz": "oz|ounce|ounces|унция|унции|унций",
        "lb": "lb|lbs|pound|pounds|фунт|фунта|фунтов",
        "ml": "ml|milliliter|milliliters|millilitre|millilitres|мл|миллилитр|миллилитра"
        "|миллилитров",
        "l": "l|liter|liters|litre|litres|л|литр|литра|литров|литры",
        "fl oz": "fl oz|fluid ounce|fluid ounces|floz",
        "cup": "cup|cups|чашка|чашки|чашку|чашек|чашечка|чашечку|чашечки",
        "tbsp": "tbsp|tbsps|tbs|tablespoon|tablespoons|table spoon|table spoons|spoon|spoons"
        "|spoonful|ст л|стл|с л|"
        + "|".join((*SPOON_FORMS, spoon("столовая столовой столовую столовые столовых стол ст"))),
        "tsp": "tsp|tsps|teaspoon|teaspoons|tea spoon|tea spoons|ч л|чл|"
        + spoon("чайная чайной чайную чайные чайных чайн ч"),
        "glass": "glass|glasses|стакан|стакана|стаканов|стаканы|стакане|стаканчик|стаканчика|ст"
        "|стак",
        "mug": "mug|mugs|кружка|кружки|кружку|кружек|кружечка|кружечку",
        "wineglass": "wineglass|бокал|бокала|бокалов|бокалы|фужер|фужера",
        "shot": "shot|shots|рюмка|рюмки|рюмку|рюмок|стопка|стопки|стопку|стопок",
        "bowl": "bowl|bowls|миска|миски|миску|мисок|пиала|пиалу|пиалы|мисочка|мисочку",
        "plate": "plate|plates|plateful|тарелка|тарелки|тарелку|тарелок|тарелочка|тарелочку"
        "|тарелочки",
        "handful": "handful|handfuls|горсть|горсти|горстей|горстка|горстку|горстки|жменя|жменю"
        "|пригоршня|пригоршню",
        "pinch": "pinch|pinches|dash|щепотка|щепотку|щепотки|щепоток|щепоть",
        "slice": "slice|slices|rasher|rashers|ломтик|ломтика|ломтиков|ломтики|ломтиками|ломоть"
        "|ломтя|ломтей|долька|дольки|дольку|долек|кружок|кружочек|кружочка|кружочков|пластик|пластика"
        "|пластиков|слайс|слайса|слайсов",
        "piece": "piece|pieces|chunk|chunks|wedge|wedges|кусок|куска|куски|кусков|куском|кусочек"
        "|кусочка|кусочки|кусочков|кусочком|кусочками",
        "item": "pcs|pc|item|items|шт|штука|штуки|штук|штуку|штучка|штучки|штучку|штучек",
        "serving": "serving|servings|portion|portions|порция|порции|порцию|порций|порцией",
        "can": "can|cans|tin|tins|jar|jars|банка|банки|банку|банок|баночка|баночки|баночку|баночек",
        "bottle": "bottle|bottles|бутылка|бутылки|бутылку|бутылок|бутылочка|бутылочку|бутылочки",
        "package": "pack|packs|package|packages|packet|packets|container|containers|bag|bags|box"
        "|boxes|пачка|пачки|пачку|пачек|упаковка|упаковки|упаковку|упаковок|пакет|пакета|пакетик"
        "|пакетика|пакетиков|коробка|коробки|коробку",
        "scoop": "scoop|scoops|мерная ложка|мерной ложки|мерную ложку|шарик|шарика|шариков",
        "clove": "clove|cloves|зубчик|зубчика|зубчиков|зубок|зубка",
        "bar": "bar|bars|плитка|плитки|плитку|плиток",
        "leaf": "leaf|leaves|лист|листа|листьев|листик|листика|листиков",
        "stick": "stick|sticks|палочка|палочки|палочку|палочек",
        "fillet": "fillet|fillets",
    }.items()
    for word in forms.split("|")
}

SPOONS = frozenset({"tbsp", "tsp", "pinch"})

SIZES: dict[str, str] = {
    word: size
    for size, forms in {
        "small": "small little маленький маленькая маленькое маленькие маленьких маленького "
        "маленькую мелкий мелкая мелкое мелкие мелких небольшой небольшая небольшое небольшие "
        "небольших небольшую",
        "medium": "medium medium-sized средний средняя среднее средние средних среднего среднюю",
        "large": "large big huge большой большая большое большие больших большого большую крупный "
        "крупная крупное крупные крупных крупного крупную",
    }.items()
    for word in forms.split()
}

AND = words("and plus и плюс а также да")
WITH = words("with с со w")
WITHOUT = words("without no без")
ON = "на"
EACH_BEFORE, EACH_AFTER = "по", "each"

# Said around food, and changing nothing that is counted.
FILLERS = words(
    "the of some in on at for from to my i we he she it was is were have had has having ate eat "
    "eating drank drink drinking just also then today yesterday this that morning evening night "
    "lunch dinner breakfast snack supper brunch meal about around approximately roughly please "
    "fresh cooked boiled fried baked grilled roasted steamed raw plain hot cold homemade sliced "
    "salad diced chopped ripe whole organic unsweetened sweetened sugar-free lean "
    "or или я мы он она это был была было были на в во из от для к за у не после перед до около "
    "примерно где-то сегодня вчера утром днем вечером ночью потом еще тоже только мой моя "
    "завтрак завтракал завтракала обед обедал обедала ужин ужинал ужинала перекус полдник ланч "
    "съел съела съели ел ела ели поел поела выпил выпила выпили пил пила попил попила скушал "
    "скушала кушал кушала покушал покушала взял взяла купил купила добавил добавила немного "
    "салат салата салату салатом салатик салатика немножко чуть чуть-чуть чуток так вот ну всего "
    "затем же бы"
)
# The same, where each word alone would mean something.
FILLER_PAIRS = frozenset(
    {"на воде", "на пару", "на гриле", "на углях", "с горкой", "с верхом", "без горки"}
)
# Adjectives of the same kind, in any form: "вареная", "вареную", "вареными".
FILLER_ADJECTIVE = re.compile(
    "(?:варен|отварн|жарен|обжаренн|запеченн|печен|тушен|свеж|спел|вкусн|домашн|горяч|холодн|тепл|"
    "сыр|нарезанн|тонк|толст|цел|полн|неполн|обычн|кипячен|очищенн|терт|магазинн|натуральн|"
    "фермерск|любим|постн|несладк|ароматн|хрустящ)"
    "(?:ый|ий|ой|ая|яя|ое|ее|ые|ие|ого|его|ому|ему|ую|юю|ей|ым|им|ом|ем|ых|их|ыми|ими)"
)
