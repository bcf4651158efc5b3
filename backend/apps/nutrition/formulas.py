"""From a body to what it may eat a day. Pure arithmetic, each number with its source.

Advice for the healthy and grown-up, not for patients: where the sources warn, the numbers stay
on the safe side.
"""

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from apps.nutrition.models import KCAL_PER_GRAM

# Multiples of the resting rate: the customary factors that go with it (McArdle, Katch and Katch,
# Exercise Physiology, 8th ed. 2015); they span the physical activity levels of FAO/WHO/UNU,
# Human energy requirements, 2004.
ACTIVITY = {
    "sedentary": Decimal("1.2"),
    "light": Decimal("1.375"),
    "moderate": Decimal("1.55"),
    "active": Decimal("1.725"),
    "very_active": Decimal("1.9"),
}
# A deficit of a fifth stays under the 500–750 kcal a day of the AHA/ACC/TOS guideline (Jensen
# et al., Circulation 2014) for most; a surplus of a tenth is the careful end of Iraki et al.,
# Sports 2019.
GOAL = {"lose": Decimal("0.80"), "keep": Decimal(1), "gain": Decimal("1.10")}
# Grams a kilogram: 1.4–2.0 for who is active, the upper half in a deficit (Jäger et al.,
# ISSN position stand, J Int Soc Sports Nutr 2017); 1.6 for growing (Morton et al., BJSM 2018).
PROTEIN = {"lose": Decimal("1.8"), "keep": Decimal("1.4"), "gain": Decimal("1.6")}
# Fat of a body needs no protein: weight counts up to a BMI of 30 (WHO: obesity begins there).
PROTEIN_BMI = Decimal(30)
# WHO: underweight begins below.
UNDERWEIGHT_BMI = Decimal("18.5")
ADULT = 18
# Acceptable ranges, as shares of energy (Institute of Medicine, Dietary Reference Intakes, 2005):
# protein 10–35 %, fat 20–35 %, carbohydrate 45–65 %, of which protein may take.
MAX_PROTEIN = Decimal("0.35")
FAT = Decimal("0.30")
MAX_FAT = Decimal("0.35")
# At least, a kilogram, for hormones' sake (Iraki et al., Sports 2019: 0.5–1.5 g).
MIN_FAT_PER_KG = Decimal("0.8")
# The least that may be advised without a physician (NHLBI, Practical Guide to Obesity, 2000),
# and more than all but athletes need.
MIN_ENERGY = {"female": Decimal(1200), "male": Decimal(1500)}
MAX_ENERGY = Decimal(5000)


@dataclass(frozen=True, kw_only=True)
class Body:
    sex: str
    age: int
    height_cm: Decimal
    weight_kg: Decimal
    activity: str
    goal: str

    @property
    def bmi(self) -> Decimal:
        return self.weight_kg / (self.height_cm / 100) ** 2


def resting_energy(body: Body) -> Decimal:
    """Kilocalories a day at rest: Mifflin, St Jeor et al., Am J Clin Nutr 1990; 51: 241–247."""
    constant = {"male": 5, "female": -161}[body.sex]
    return 10 * body.weight_kg + Decimal("6.25") * body.height_cm - 5 * body.age + constant


def compute_targets(body: Body) -> dict[str, Decimal]:
    """Kilocalories and grams a day, whole numbers that agree with one another.

    Nobody underweight and nobody under 18 is told to eat less than they use.
    """
    goal = body.goal
    if goal == "lose" and (body.bmi < UNDERWEIGHT_BMI or body.age < ADULT):
        goal = "keep"
    energy = resting_energy(body) * ACTIVITY[body.activity] * GOAL[goal]
    energy = _whole(min(max(energy, MIN_ENERGY[body.sex]), MAX_ENERGY))
    lean_enough = min(body.weight_kg, PROTEIN_BMI * (body.height_cm / 100) ** 2)
    protein = _whole(
        min(PROTEIN[goal] * lean_enough, MAX_PROTEIN * energy / KCAL_PER_GRAM["protein_g"])
    )
    least_fat = max(FAT * energy / KCAL_PER_GRAM["fat_g"], MIN_FAT_PER_KG * lean_enough)
    fat = _whole(min(least_fat, MAX_FAT * energy / KCAL_PER_GRAM["fat_g"]))
    rest = energy - KCAL_PER_GRAM["protein_g"] * protein - KCAL_PER_GRAM["fat_g"] * fat
    return {
        "energy_kcal": energy,
        "protein_g": protein,
        "fat_g": fat,
        "carbohydrate_g": _whole(rest / KCAL_PER_GRAM["carbohydrate_g"]),
    }


def _whole(number: Decimal) -> Decimal:
    return number.quantize(Decimal(1), ROUND_HALF_UP)
